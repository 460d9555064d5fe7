/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See elf.h. First step of loading a file: bytes from the descriptor become checked headers. Every
 * offset and size is compared with the file's own length once, here, so the steps after this one
 * only have to stay inside a section.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "sym/elf.h"

#define PHDRS_MAX 512
#define SECTS_MAX 65535
#define SHSTR_MAX (4 << 20)
#define NOTES_MAX (64 * 1024)

int elf_src_fd(struct elf_src *ret, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < 0)
		return -EINVAL;
	*ret = (struct elf_src){ .fd = fd, .size = (u64)st.st_size };
	return 0;
}

int elf_read(const struct elf_src *s, u64 off, void *buf, size_t n)
{
	u8 *to = buf;

	if (off > s->size || n > s->size - off)
		return -ENODATA;
	if (s->fd < 0) {
		if (n)
			memcpy(to, s->mem + off, n);
		return 0;
	}
	while (n) {
		ssize_t got = pread(s->fd, to, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -ENODATA;
		to += got;
		off += (u64)got;
		n -= (size_t)got;
	}
	return 0;
}

int elf_win_init(struct elf_win *w, const struct elf_src *src)
{
	*w = (struct elf_win){ .src = src, .buf = malloc(ELF_WINDOW) };
	return w->buf ? 0 : -ENOMEM;
}

void elf_win_release(struct elf_win *w)
{
	free(w->buf);
	w->buf = NULL;
}

const u8 *elf_win_at(struct elf_win *w, u64 off, size_t n)
{
	size_t want;

	if (off >= w->off && off - w->off <= w->n && n <= w->n - (size_t)(off - w->off))
		return w->buf + (off - w->off);
	if (n > ELF_WINDOW || off > w->src->size || n > w->src->size - off)
		return NULL;
	want = (size_t)MIN(w->src->size - off, (u64)ELF_WINDOW);
	w->n = 0;
	if (elf_read(w->src, off, w->buf, want) < 0)
		return NULL;
	w->off = off;
	w->n = want;
	return w->buf;
}

static int read_notes(struct elf *e, u64 off, u64 size)
{
	_free_ u8 *buf = NULL;
	u64 pos = 0;

	if (e->build_id_len || size < sizeof(Elf64_Nhdr) || size > NOTES_MAX)
		return 0;
	buf = malloc(size);
	if (!buf)
		return -ENOMEM;
	if (elf_read(&e->src, off, buf, size) < 0)
		return 0;
	while (size - pos >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr nh;
		u64 name, desc, end;

		memcpy(&nh, buf + pos, sizeof(nh));
		name = pos + sizeof(nh);
		desc = name + (((u64)nh.n_namesz + 3) & ~3ULL);
		end = desc + (((u64)nh.n_descsz + 3) & ~3ULL);
		if (desc > size || nh.n_descsz > size - desc)
			break;
		if (nh.n_type == NT_GNU_BUILD_ID && nh.n_namesz == 4 &&
		    !memcmp(buf + name, "GNU", 4) && nh.n_descsz >= 4 &&
		    nh.n_descsz <= sizeof(e->build_id)) {
			memcpy(e->build_id, buf + desc, nh.n_descsz);
			e->build_id_len = (u8)nh.n_descsz;
			break;
		}
		if (end > size)
			break;
		pos = end;
	}
	return 0;
}

static void add_load(struct elf *e, const Elf64_Phdr *ph)
{
	bool exec = ph->p_flags & PF_X;

	if (e->nloads == ELF_LOADS_MAX || !ph->p_memsz || ph->p_filesz > ph->p_memsz ||
	    ph->p_vaddr + ph->p_memsz < ph->p_vaddr || ph->p_offset + ph->p_filesz < ph->p_offset)
		return;
	e->loads[e->nloads++] = (struct elf_load){
		.off = ph->p_offset,
		.vaddr = ph->p_vaddr,
		.filesz = ph->p_filesz,
		.memsz = ph->p_memsz,
		.exec = exec,
	};
	if (!exec)
		return;
	if (e->exec_lo == e->exec_hi) {
		e->exec_lo = ph->p_vaddr;
		e->exec_hi = ph->p_vaddr + ph->p_memsz;
	}
	e->exec_lo = MIN(e->exec_lo, ph->p_vaddr);
	e->exec_hi = MAX(e->exec_hi, ph->p_vaddr + ph->p_memsz);
}

static int read_phdrs(struct elf *e, const Elf64_Ehdr *eh)
{
	_free_ Elf64_Phdr *ph = NULL;
	size_t i;
	int r;

	if (!eh->e_phnum || eh->e_phnum > PHDRS_MAX || eh->e_phentsize != sizeof(*ph))
		return -EINVAL;
	ph = malloc(eh->e_phnum * sizeof(*ph));
	if (!ph)
		return -ENOMEM;
	r = elf_read(&e->src, eh->e_phoff, ph, eh->e_phnum * sizeof(*ph));
	if (r < 0)
		return r;
	for (i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD)
			add_load(e, &ph[i]);
		else if (ph[i].p_type == PT_GNU_EH_FRAME)
			e->eh_frame_hdr = ph[i].p_vaddr;
		else if (ph[i].p_type == PT_NOTE &&
			 read_notes(e, ph[i].p_offset, ph[i].p_filesz) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void set_sect(const struct elf *e, struct elf_sect *to, const Elf64_Shdr *sh)
{
	if (to->size || sh->sh_type == SHT_NOBITS || (sh->sh_flags & SHF_COMPRESSED) ||
	    sh->sh_offset > e->src.size || sh->sh_size > e->src.size - sh->sh_offset)
		return;
	*to = (struct elf_sect){
		.addr = sh->sh_addr,
		.off = sh->sh_offset,
		.size = sh->sh_size,
		.entsize = sh->sh_entsize,
	};
}

static void set_frame_sect(const struct elf *e, struct elf_sect *to, const Elf64_Shdr *sh, bool old)
{
	Elf64_Shdr as = *sh;

	if (to->size)
		return;
	as.sh_flags &= ~(Elf64_Xword)SHF_COMPRESSED;
	set_sect(e, to, &as);
	to->packing = old ? ELF_ZDEBUG : sh->sh_flags & SHF_COMPRESSED ? ELF_PACKED : ELF_PLAIN;
}

static void named_sect(struct elf *e, const char *name, const Elf64_Shdr *sh)
{
	const struct {
		const char *name;
		struct elf_sect *to;
	} wanted[] = {
		{ ".eh_frame", &e->eh_frame },
		{ ".plt", &e->plt },
		{ ".plt.sec", &e->plt_sec },
		{ ".plt.got", &e->plt_got },
		{ ".rela.plt", &e->rela_plt },
		{ ".rela.dyn", &e->rela_dyn },
		{ ".gnu_debugdata", &e->debugdata },
		{ ".gnu_debuglink", &e->debuglink },
		{ ".gopclntab", &e->gopclntab },
		{ ".data.rel.ro.gopclntab", &e->gopclntab },
		{ ".text", &e->text },
	};
	size_t i;

	if (!strcmp(name, ".debug_frame") || !strcmp(name, ".zdebug_frame")) {
		set_frame_sect(e, &e->debug_frame, sh, name[1] == 'z');
		return;
	}

	for (i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!strcmp(name, wanted[i].name))
			set_sect(e, wanted[i].to, sh);
}

static void symbol_sect(struct elf *e, const Elf64_Shdr *sh, const Elf64_Shdr *all, size_t n)
{
	bool dyn = sh->sh_type == SHT_DYNSYM;
	struct elf_sect *syms = dyn ? &e->dynsym : &e->symtab;
	struct elf_sect *strs = dyn ? &e->dynstr : &e->strtab;

	if (syms->size || sh->sh_entsize != sizeof(Elf64_Sym) || sh->sh_link >= n ||
	    all[sh->sh_link].sh_type != SHT_STRTAB)
		return;
	set_sect(e, strs, &all[sh->sh_link]);
	if (strs->size)
		set_sect(e, syms, sh);
}

/* A stripped or damaged section table leaves segments, so failure here only leaves things out. */
static int read_sections(struct elf *e, const Elf64_Ehdr *eh)
{
	_free_ Elf64_Shdr *sh = NULL;
	_free_ u8 *names = NULL;
	struct elf_sect strs = { 0 };
	Elf64_Shdr first;
	u64 i, n = eh->e_shnum, strndx = eh->e_shstrndx;

	if (!eh->e_shoff || eh->e_shentsize != sizeof(*sh) ||
	    elf_read(&e->src, eh->e_shoff, &first, sizeof(first)) < 0)
		return 0;
	if (!n)
		n = first.sh_size;
	if (strndx == SHN_XINDEX)
		strndx = first.sh_link;
	if (!n || n > SECTS_MAX || n > (e->src.size - eh->e_shoff) / sizeof(*sh))
		return 0;
	sh = malloc(n * sizeof(*sh));
	if (!sh)
		return -ENOMEM;
	if (elf_read(&e->src, eh->e_shoff, sh, n * sizeof(*sh)) < 0)
		return 0;
	e->sections = true;
	if (strndx < n && sh[strndx].sh_type == SHT_STRTAB)
		set_sect(e, &strs, &sh[strndx]);
	if (strs.size && elf_read_sect(e, &strs, SHSTR_MAX, &names) < 0)
		strs.size = 0;
	for (i = 1; i < n; i++) {
		if (sh[i].sh_type == SHT_SYMTAB || sh[i].sh_type == SHT_DYNSYM)
			symbol_sect(e, &sh[i], sh, n);
		else if (sh[i].sh_type == SHT_NOTE &&
			 read_notes(e, sh[i].sh_offset, sh[i].sh_size) < 0)
			return -ENOMEM;
		else if (sh[i].sh_name < strs.size)
			named_sect(e, (const char *)names + sh[i].sh_name, &sh[i]);
	}
	return 0;
}

int elf_open(struct elf *e, const struct elf_src *src)
{
	Elf64_Ehdr eh;
	int r;

	*e = (struct elf){ .src = *src };
	if (src->size < sizeof(eh) || elf_read(src, 0, &eh, sizeof(eh)) < 0 ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOTSUP;
	if (eh.e_type != ET_EXEC && eh.e_type != ET_DYN)
		return -ENOEXEC;
	e->machine = eh.e_machine;
	e->entry = eh.e_entry;
	r = read_phdrs(e, &eh);
	if (r < 0)
		return r;
	return read_sections(e, &eh);
}

int elf_off_to_vaddr(const struct elf *e, u64 off, u64 *ret_vaddr, const struct elf_load **ret_load)
{
	const struct elf_load *best = NULL;
	u16 i;

	/* Neighbouring segments may share a page of the file; code is asked for, so code wins. */
	for (i = 0; i < e->nloads; i++) {
		const struct elf_load *l = &e->loads[i];

		if (off >= l->off && off - l->off < l->filesz &&
		    (!best || (l->exec && !best->exec)))
			best = l;
	}
	if (!best)
		return -ENOENT;
	*ret_vaddr = best->vaddr + (off - best->off);
	if (ret_load)
		*ret_load = best;
	return 0;
}

int elf_vaddr_to_off(const struct elf *e, u64 vaddr, u64 *ret_off, u64 *ret_left)
{
	u16 i;

	for (i = 0; i < e->nloads; i++) {
		const struct elf_load *l = &e->loads[i];

		if (vaddr < l->vaddr || vaddr - l->vaddr >= l->filesz)
			continue;
		*ret_off = l->off + (vaddr - l->vaddr);
		*ret_left = l->filesz - (vaddr - l->vaddr);
		return 0;
	}
	return -ENOENT;
}

bool elf_in_exec(const struct elf *e, u64 vaddr)
{
	u16 i;

	for (i = 0; i < e->nloads; i++)
		if (e->loads[i].exec && vaddr >= e->loads[i].vaddr &&
		    vaddr - e->loads[i].vaddr < e->loads[i].memsz)
			return true;
	return false;
}

int elf_read_sect(const struct elf *e, const struct elf_sect *s, size_t max, u8 **ret)
{
	_free_ u8 *buf = NULL;
	int r;

	if (s->size > max)
		return -EFBIG;
	/* One byte more, so that text in it always ends. */
	buf = malloc(s->size + 1);
	if (!buf)
		return -ENOMEM;
	r = elf_read(&e->src, s->off, buf, s->size);
	if (r < 0)
		return r;
	buf[s->size] = 0;
	*ret = take_ptr(buf);
	return 0;
}

int elf_symbols_each(const struct elf *e, bool dyn, elf_symbol_fn *fn, void *arg)
{
	const struct elf_sect *syms = dyn ? &e->dynsym : &e->symtab;
	const struct elf_sect *strs = dyn ? &e->dynstr : &e->strtab;
	u64 i, n = MIN(syms->size / sizeof(Elf64_Sym), (u64)ELF_SYMBOLS_MAX);
	_free_ u8 *names = NULL;
	struct elf_win w;
	int err;

	if (!n)
		return 0;
	err = elf_read_sect(e, strs, ELF_NAMES_MAX, &names);
	if (err)
		return err == -ENOMEM ? err : 0;
	err = elf_win_init(&w, &e->src);
	for (i = 0; i < n && !err; i++) {
		const u8 *p = elf_win_at(&w, syms->off + i * sizeof(Elf64_Sym), sizeof(Elf64_Sym));
		Elf64_Sym s;

		if (!p)
			break;
		memcpy(&s, p, sizeof(s));
		if (s.st_name < strs->size)
			fn(arg, (const char *)names + s.st_name, &s);
	}
	elf_win_release(&w);
	return err;
}
