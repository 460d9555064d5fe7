/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mergeable histogram of non-negative values with at most 1 % relative error per value.
 *
 * Bucket i holds values in (gamma^(i-1), gamma^i], gamma = 1.01/0.99, reported as the point whose
 * relative distance to both ends is equal (the DDSketch mapping); 0 and values below HIST_MIN have
 * their own count. Exact count, sum, min and max are kept beside. Unit is the caller's (nanoseconds
 * everywhere in hostprof). Memory grows with the value range only, at most HIST_BUCKETS_MAX.
 */
#ifndef BASE_HIST_H
#define BASE_HIST_H

#include "base/types.h"

#define HIST_GAMMA (1.01 / 0.99)
#define HIST_MIN 1.0
#define HIST_BUCKETS_MAX 4096

struct hist {
	u64 *counts; /* counts[i - lo] */
	s32 lo; /* index of counts[0] */
	s32 n; /* entries in counts */
	u64 zero;
	u64 count;
	double sum;
	double min;
	double max;
};

void hist_init(struct hist *h); /* zeroed memory is also a valid empty histogram */
void hist_release(struct hist *h);
int hist_add(struct hist *h, double v); /* 0 or -ENOMEM (then only count, sum, min, max moved) */
int hist_merge(struct hist *to, const struct hist *from);
double hist_quantile(const struct hist *h, double q); /* q in 0..1; 0 when empty; within 1 % */
double hist_mean(const struct hist *h);

#endif
