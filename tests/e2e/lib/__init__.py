# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: servers, load, references, and the profiler under test.

procs.py starts, waits for and ends processes; postgres.py, servers.py and load.py are the system
under load; pcap.py is the independent clock; profiler.py runs hostprof and reads its report.
"""
