/* SPDX-License-Identifier: Apache-2.0 */
/* See record.h. Called for every record, live or from a file, before anything else looks at it. */
#include "decode/record.h"

#include <errno.h>

struct kind {
	const char *name;
	u32 size;
	bool variable;
};

static const struct kind kinds[EV_KIND_MAX] = {
#define EV(name, num, type, var) [num] = { #name, sizeof(struct type), var },
#include "hp/events.def"
#undef EV
};

const char *record_name(u32 kind)
{
	return kind < EV_KIND_MAX ? kinds[kind].name : NULL;
}

struct ev_seg *record_seg(struct ev_data *ev, size_t *off, u8 **ret_bytes)
{
	u8 *base = (u8 *)(ev + 1);
	struct ev_seg *seg = (struct ev_seg *)(base + *off);

	if (sizeof(*ev) + *off + sizeof(*seg) > ev->hdr.size)
		return NULL;
	*ret_bytes = (u8 *)(seg + 1);
	*off += sizeof(*seg) + ((seg->len + 7ULL) & ~7ULL);
	return seg;
}

static bool data_ok(const struct ev_data *ev)
{
	const u8 *base = (const u8 *)(ev + 1);
	size_t room = ev->hdr.size - sizeof(*ev), off = 0;
	u64 end = 0;
	u32 i;

	if (ev->dir > HP_SEND || ev->nsegs > HP_SEGS_MAX)
		return false;
	for (i = 0; i < ev->nsegs; i++) {
		const struct ev_seg *seg = (const struct ev_seg *)(base + off);

		if (room - off < sizeof(*seg))
			return false;
		off += sizeof(*seg);
		if (seg->len > room - off)
			return false;
		if (seg->off < end || (u64)seg->off + seg->len > ev->len)
			return false;
		end = (u64)seg->off + seg->len;
		off += (seg->len + 7ULL) & ~7ULL;
		if (off > room)
			return false;
	}
	return true;
}

static bool lines_ok(const struct ev_lines *ev, u64 room)
{
	const struct ev_line *line = (const struct ev_line *)(ev + 1);
	u64 texts = 0;
	u32 i;

	if (ev->n > HP_LINES_MAX || ev->n * sizeof(*line) > room)
		return false;
	for (i = 0; i < ev->n; i++)
		texts += (u64)line[i].name_len + line[i].file_len;
	return texts <= room - ev->n * sizeof(*line);
}

/* The variable part of a record whose fixed part is there: do its own lengths fit? */
static bool variable_ok(const struct ev_hdr *hdr)
{
	u64 room = hdr->size - kinds[hdr->kind].size;

	switch (hdr->kind) {
	case EV_DATA:
		return data_ok((const struct ev_data *)hdr);
	case EV_SAMPLE:
		return ((const struct ev_sample *)hdr)->nframes * sizeof(struct ev_frame) <= room;
	case EV_WAIT:
		return ((const struct ev_wait *)hdr)->reason < HP_WAIT_MAX &&
		       (((const struct ev_wait *)hdr)->nframes +
			((const struct ev_wait *)hdr)->nwaker) *
				       sizeof(struct ev_frame) <=
			       room;
	case EV_SITE:
		return ((const struct ev_site *)hdr)->nframes * sizeof(struct ev_frame) <= room;
	case EV_TARGET: {
		const struct ev_target *ev = (const struct ev_target *)hdr;

		return (u64)ev->cmdline_len + ev->exe_len + ev->runtime_len + ev->service_len <=
		       room;
	}
	case EV_MAPPING: {
		const struct ev_mapping *ev = (const struct ev_mapping *)hdr;

		return ev->path_len <= room && ev->build_id_len <= sizeof(ev->build_id);
	}
	case EV_LOSS:
		return ((const struct ev_loss *)hdr)->n * 8ULL <= room;
	case EV_SYMBOL: {
		const struct ev_symbol *ev = (const struct ev_symbol *)hdr;

		return (u64)ev->name_len + ev->module_len <= room;
	}
	case EV_CODE: {
		const struct ev_code *ev = (const struct ev_code *)hdr;

		return (u64)ev->name_len + ev->file_len <= room;
	}
	case EV_LINES:
		return lines_ok((const struct ev_lines *)hdr, room);
	case EV_NOTE:
		return ((const struct ev_note *)hdr)->len <= room;
	case EV_CONFIG:
		return ((const struct ev_config *)hdr)->len <= room;
	}
	return true;
}

static bool fixed_ok(const struct ev_hdr *hdr)
{
	if (hdr->kind == EV_CONT) {
		const struct ev_cont *ev = (const struct ev_cont *)hdr;

		return ev->dir <= HP_SEND && ev->tail_len <= HP_TAIL_MAX && ev->tail_len <= ev->len;
	}
	if (hdr->kind == EV_WAIT_TOTAL)
		return ((const struct ev_wait_total *)hdr)->reason < HP_WAIT_MAX;
	if (hdr->kind == EV_STEP)
		return ((const struct ev_step *)hdr)->reason < HP_WAIT_MAX;
	/* A role is shifted by later on. */
	if (hdr->kind == EV_CONN_OPEN)
		return ((const struct ev_conn_open *)hdr)->role <= HP_ROLE_CLIENT;
	return true;
}

int record_check(const void *p, size_t n, size_t *ret_size)
{
	const struct ev_hdr *hdr = p;

	if (n < sizeof(*hdr))
		return -EAGAIN;
	if (hdr->size < sizeof(*hdr) || hdr->size > HP_RECORD_MAX || hdr->size % 8)
		return -EPROTO;
	*ret_size = hdr->size;
	if (n < hdr->size)
		return -EAGAIN;
	if (!record_name(hdr->kind))
		return -EBADMSG;
	if (hdr->size < kinds[hdr->kind].size ||
	    (!kinds[hdr->kind].variable && hdr->size != kinds[hdr->kind].size))
		return -EBADMSG;
	if (!fixed_ok(hdr) || (kinds[hdr->kind].variable && !variable_ok(hdr)))
		return -EBADMSG;
	return 0;
}
