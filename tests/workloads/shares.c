/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions with known shares of a thread's processor time: shares SECONDS WEIGHT… (four of them) waits
 * for a line on standard input, runs, prints one JSON object a function with the time that the thread's
 * own clock counted in it, and leaves on another line.
 *
 * Which function runs next is drawn, and how long, too: a sampler of a fixed rate meets no rhythm, so its
 * samples are independent draws.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FUNCTIONS 4
#define SLICE_NS 200000

static uint64_t own_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint32_t draw(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

/* Until the thread's clock says so; different numbers, so that no two are merged into one. */
#define FUNCTION(name, number)                                                                     \
	static __attribute__((noinline)) uint64_t name(uint64_t end_ns)                            \
	{                                                                                          \
		volatile uint64_t x = number;                                                      \
		uint64_t now;                                                                      \
		int i;                                                                             \
                                                                                                   \
		do {                                                                               \
			for (i = 0; i < 30000; i++)                                                \
				x = x * (2 * number + 1) + i;                                      \
			now = own_ns();                                                            \
		} while (now < end_ns);                                                            \
		return now;                                                                        \
	}

FUNCTION(work_a, 11)
FUNCTION(work_b, 13)
FUNCTION(work_c, 17)
FUNCTION(work_d, 19)

int main(int argc, char **argv)
{
	static uint64_t (*const functions[FUNCTIONS])(uint64_t) = { work_a, work_b, work_c,
								    work_d };
	uint64_t spent[FUNCTIONS] = { 0 }, rng = 1, begin, now, end;
	unsigned weight[FUNCTIONS], all = 0;
	char line[16];
	int i;

	if (argc != 2 + FUNCTIONS)
		return 2;
	for (i = 0; i < FUNCTIONS; i++)
		all += weight[i] = (unsigned)strtoul(argv[2 + i], NULL, 10);
	if (!all || !fgets(line, sizeof(line), stdin))
		return 2;
	now = own_ns();
	end = now + (uint64_t)(strtod(argv[1], NULL) * 1e9);
	while (now < end) {
		unsigned which = draw(&rng) % all;

		for (i = 0; which >= weight[i]; i++)
			which -= weight[i];
		begin = now;
		now = functions[i](begin + SLICE_NS / 2 + draw(&rng) % SLICE_NS);
		spent[i] += now - begin;
	}
	for (i = 0; i < FUNCTIONS; i++)
		printf("{\"name\":\"work_%c\",\"cpu_ns\":%llu}\n", 'a' + i,
		       (unsigned long long)spent[i]);
	fflush(stdout);
	return fgets(line, sizeof(line), stdin) ? 0 : 1;
}
