/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about ELF files, for choosing and describing targets.
 *
 * Input: a descriptor. Output: struct elf_facts. Not a symbol reader: names of addresses are the
 * business of user/sym, which runs in another process; this one runs privileged and therefore does
 * as little as it can with bytes it must not trust. Every offset and count from the file is checked
 * before use, and loops have fixed bounds.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/elffacts.h"

#define PHDRS_MAX 64
#define SHDRS_MAX 512
#define NOTES_MAX 4096 /* bytes of one note segment that are looked at */
#define NAMES_MAX (32 << 10) /* bytes of section names */
#define WINDOW (64 << 10)
#define STRTAB_MAX (64ULL << 20) /* bytes of .dynstr that are searched */

static int read_at(int fd, u64 off, void *p, size_t n)
{
	char *s = p;

	if (off > INT64_MAX)
		return -ENODATA;
	while (n) {
		ssize_t got = pread(fd, s, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -ENODATA;
		s += got;
		off += (u64)got;
		n -= (size_t)got;
	}
	return 0;
}

static int read_header(int fd, Elf64_Ehdr *eh, struct elf_facts *f)
{
	int err = read_at(fd, 0, eh, sizeof(*eh));

	memset(f, 0, sizeof(*f));
	if (err == -ENODATA || (!err && memcmp(eh->e_ident, ELFMAG, SELFMAG)))
		return -ENOEXEC;
	if (err)
		return err;
	f->is_64 = eh->e_ident[EI_CLASS] == ELFCLASS64;
	f->machine = eh->e_machine; /* at the same place in both classes */
	if (!f->is_64 || eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOTSUP;
	return 0;
}

/* Notes: {name size, description size, type, name, description}, both padded to 4. */
static bool find_build_id(const u8 *p, size_t n, struct elf_facts *f)
{
	Elf64_Nhdr nh;

	while (n >= sizeof(nh)) {
		u64 name, desc;

		memcpy(&nh, p, sizeof(nh));
		name = ((u64)nh.n_namesz + 3) & ~3ULL;
		desc = ((u64)nh.n_descsz + 3) & ~3ULL;
		p += sizeof(nh);
		n -= sizeof(nh);
		if (name > n || nh.n_descsz > n - name)
			return false;
		if (nh.n_type == NT_GNU_BUILD_ID && nh.n_namesz == 4 && !memcmp(p, "GNU", 4) &&
		    nh.n_descsz && nh.n_descsz <= ELF_BUILD_ID_MAX) {
			memcpy(f->build_id, p + name, nh.n_descsz);
			f->build_id_len = (u8)nh.n_descsz;
			return true;
		}
		if (desc > n - name)
			return false;
		p += name + desc;
		n -= name + desc;
	}
	return false;
}

struct loads {
	u32 n;
	Elf64_Phdr v[PHDRS_MAX];
};

static void read_segments(int fd, const Elf64_Ehdr *eh, struct elf_facts *f, struct loads *loads)
{
	u32 i, n = MIN(eh->e_phnum, PHDRS_MAX);

	loads->n = 0;
	if (eh->e_phentsize != sizeof(Elf64_Phdr))
		return;
	for (i = 0; i < n; i++) {
		u8 notes[NOTES_MAX];
		Elf64_Phdr ph;
		size_t len;

		if (eh->e_phoff > INT64_MAX ||
		    read_at(fd, eh->e_phoff + i * sizeof(ph), &ph, sizeof(ph)))
			return;
		if (ph.p_type == PT_LOAD)
			loads->v[loads->n++] = ph;
		len = (size_t)MIN(ph.p_filesz, (u64)NOTES_MAX);
		if (ph.p_type == PT_NOTE && !f->build_id_len &&
		    !read_at(fd, ph.p_offset, notes, len))
			find_build_id(notes, len, f);
	}
}

/* The place of "\0name\0" in a string table, read window by window; 0 = not there. */
static u64 find_string(int fd, const Elf64_Shdr *str, const char *name)
{
	size_t want = strlen(name) + 2;
	_free_ char *win = malloc(WINDOW);
	char key[64];
	u64 off, size = MIN(str->sh_size, STRTAB_MAX);

	if (!win || want > sizeof(key))
		return 0;
	key[0] = '\0';
	memcpy(key + 1, name, want - 1);
	/* Windows overlap by the key's length, so a hit on the seam is whole in the second. */
	for (off = 0; off + want <= size; off += WINDOW - want) {
		size_t n = (size_t)MIN(size - off, (u64)WINDOW);
		const char *hit;

		if (str->sh_offset > INT64_MAX || read_at(fd, str->sh_offset + off, win, n))
			return 0;
		hit = memmem(win, n, key, want);
		if (hit)
			return off + (u64)(hit - win) + 1;
	}
	return 0;
}

/* The 8 bytes that a data symbol points to, from the file. */
static int read_symbol(int fd, const struct loads *loads, u64 vaddr, u64 *ret)
{
	u32 i;

	for (i = 0; i < loads->n; i++) {
		const Elf64_Phdr *ph = &loads->v[i];

		if (vaddr < ph->p_vaddr || vaddr - ph->p_vaddr >= ph->p_filesz)
			continue;
		if (ph->p_offset > INT64_MAX)
			return -ENODATA;
		return read_at(fd, ph->p_offset + (vaddr - ph->p_vaddr), ret, sizeof(*ret));
	}
	return -ENOENT;
}

/* Py_Version is a constant that every interpreter since 3.11 exports. */
static u32 python_version(int fd, const Elf64_Shdr *sym, const Elf64_Shdr *str,
			  const struct loads *loads)
{
	u64 name = find_string(fd, str, "Py_Version"), off, value;
	_free_ Elf64_Sym *win = NULL;

	if (!name || sym->sh_offset > INT64_MAX)
		return 0;
	win = malloc(WINDOW);
	for (off = 0; win && off + sizeof(*win) <= MIN(sym->sh_size, STRTAB_MAX); off += WINDOW) {
		size_t n = (size_t)MIN(sym->sh_size - off, (u64)WINDOW) / sizeof(*win), i;

		if (read_at(fd, sym->sh_offset + off, win, n * sizeof(*win)))
			return 0;
		for (i = 0; i < n; i++) {
			if (win[i].st_name != name)
				continue;
			if (read_symbol(fd, loads, win[i].st_value, &value) || value > UINT32_MAX)
				return 0;
			return (u32)value;
		}
	}
	return 0;
}

static void read_sections(int fd, const Elf64_Ehdr *eh, struct elf_facts *f,
			  const struct loads *loads)
{
	_free_ Elf64_Shdr *sh = NULL;
	_free_ char *names = NULL;
	Elf64_Shdr dynsym = { 0 };
	size_t n = MIN(eh->e_shnum, SHDRS_MAX), names_n, i;

	if (!n || eh->e_shentsize != sizeof(*sh) || eh->e_shstrndx >= n)
		return;
	sh = malloc(n * sizeof(*sh));
	if (!sh || read_at(fd, eh->e_shoff, sh, n * sizeof(*sh)))
		return;
	names_n = (size_t)MIN(sh[eh->e_shstrndx].sh_size, (u64)NAMES_MAX);
	names = calloc(1, names_n + 1);
	if (!names || read_at(fd, sh[eh->e_shstrndx].sh_offset, names, names_n))
		return;
	for (i = 0; i < n; i++) {
		const char *name = sh[i].sh_name < names_n ? names + sh[i].sh_name : "";

		f->symtab |= sh[i].sh_type == SHT_SYMTAB;
		f->debug |= !strcmp(name, ".debug_info") || !strcmp(name, ".zdebug_info");
		f->go |= !strcmp(name, ".gopclntab") || !strcmp(name, ".go.buildinfo") ||
			 !strcmp(name, ".note.go.buildid");
		if (sh[i].sh_type == SHT_DYNSYM) {
			f->dynsym = true;
			dynsym = sh[i];
		}
	}
	if (f->dynsym && dynsym.sh_link < n)
		f->python_hex = python_version(fd, &dynsym, &sh[dynsym.sh_link], loads);
}

int elf_facts_read(int fd, struct elf_facts *ret)
{
	struct loads loads;
	Elf64_Ehdr eh;
	int err = read_header(fd, &eh, ret);

	if (err)
		return err;
	read_segments(fd, &eh, ret, &loads);
	read_sections(fd, &eh, ret, &loads);
	return 0;
}

int elf_build_id(int fd, u8 *ret, u8 *ret_len)
{
	struct elf_facts f;
	struct loads loads;
	Elf64_Ehdr eh;
	int err = read_header(fd, &eh, &f);

	if (err)
		return err;
	read_segments(fd, &eh, &f, &loads);
	if (!f.build_id_len)
		return -ENOENT;
	memcpy(ret, f.build_id, f.build_id_len);
	*ret_len = f.build_id_len;
	return 0;
}
