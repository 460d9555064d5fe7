/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/elffacts: this test program itself, made-up files whose every field is known, and the same
 * files with each byte damaged.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/elffacts.h"

/* An interpreter: a note, .dynsym with Py_Version, its constant, .gopclntab for good measure. */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	struct {
		Elf64_Nhdr nh;
		char name[4];
		u8 id[20];
	} note;
	Elf64_Sym sym[2];
	u64 py_version;
	char str[32];
	char names[64];
	Elf64_Shdr sh[5];
};

static void build(struct image *im)
{
	static const char names[] = "\0.dynsym\0.dynstr\0.shstrtab\0.gopclntab";
	size_t i;

	memset(im, 0, sizeof(*im));
	memcpy(im->eh.e_ident, ELFMAG, SELFMAG);
	im->eh.e_ident[EI_CLASS] = ELFCLASS64;
	im->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	im->eh.e_machine = EM_X86_64;
	im->eh.e_phoff = offsetof(struct image, ph);
	im->eh.e_phentsize = sizeof(Elf64_Phdr);
	im->eh.e_phnum = 2;
	im->eh.e_shoff = offsetof(struct image, sh);
	im->eh.e_shentsize = sizeof(Elf64_Shdr);
	im->eh.e_shnum = 5;
	im->eh.e_shstrndx = 3;
	im->ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
				  .p_vaddr = 0x400000,
				  .p_filesz = sizeof(*im),
				  .p_memsz = sizeof(*im) };
	im->ph[1] = (Elf64_Phdr){ .p_type = PT_NOTE,
				  .p_offset = offsetof(struct image, note),
				  .p_filesz = sizeof(im->note) };
	im->note.nh = (Elf64_Nhdr){ 4, 20, NT_GNU_BUILD_ID };
	memcpy(im->note.name, "GNU", 4);
	for (i = 0; i < 20; i++)
		im->note.id[i] = (u8)(i + 1);
	im->sym[1].st_name = 1;
	im->sym[1].st_value = 0x400000 + offsetof(struct image, py_version);
	im->py_version = 0x030b02f0;
	memcpy(im->str, "\0Py_Version", 12);
	memcpy(im->names, names, sizeof(names));
	im->sh[1] = (Elf64_Shdr){ .sh_name = 1,
				  .sh_type = SHT_DYNSYM,
				  .sh_offset = offsetof(struct image, sym),
				  .sh_size = sizeof(im->sym),
				  .sh_link = 2 };
	im->sh[2] = (Elf64_Shdr){ .sh_name = 9,
				  .sh_type = SHT_STRTAB,
				  .sh_offset = offsetof(struct image, str),
				  .sh_size = sizeof(im->str) };
	im->sh[3] = (Elf64_Shdr){ .sh_name = 17,
				  .sh_type = SHT_STRTAB,
				  .sh_offset = offsetof(struct image, names),
				  .sh_size = sizeof(im->names) };
	im->sh[4] = (Elf64_Shdr){ .sh_name = 27, .sh_type = SHT_PROGBITS };
}

static int file_of(const void *p, size_t n)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, p, n, 0), n);
	return fd;
}

static int facts_of(const void *p, size_t n, struct elf_facts *f)
{
	int fd = file_of(p, n), err = elf_facts_read(fd, f);

	close(fd);
	return err;
}

static void t_made_up(void **state)
{
	struct elf_facts f;
	struct image im;
	u8 id[ELF_BUILD_ID_MAX], len = 0;
	int fd;

	(void)state;
	build(&im);
	assert_int_equal(facts_of(&im, sizeof(im), &f), 0);
	assert_true(f.is_64 && f.dynsym && f.go && !f.symtab && !f.debug);
	assert_int_equal(f.machine, EM_X86_64);
	assert_int_equal(f.python_hex, 0x030b02f0);
	assert_int_equal(f.build_id_len, 20);
	assert_memory_equal(f.build_id, im.note.id, 20);
	fd = file_of(&im, sizeof(im));
	assert_int_equal(elf_build_id(fd, id, &len), 0);
	assert_int_equal(len, 20);
	assert_memory_equal(id, im.note.id, 20);
	close(fd);
	im.note.nh.n_type = 1;
	fd = file_of(&im, sizeof(im));
	assert_int_equal(elf_build_id(fd, id, &len), -ENOENT);
	close(fd);
}

static void t_refused(void **state)
{
	struct elf_facts f;
	struct image im;
	int fd;

	(void)state;
	build(&im);
	im.eh.e_ident[EI_CLASS] = ELFCLASS32;
	im.eh.e_machine = EM_386;
	assert_int_equal(facts_of(&im, sizeof(im), &f), -ENOTSUP);
	assert_false(f.is_64);
	assert_int_equal(f.machine, EM_386);
	build(&im);
	im.eh.e_ident[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(facts_of(&im, sizeof(im), &f), -ENOTSUP);
	assert_true(f.is_64);
	assert_int_equal(facts_of("#!/bin/sh\n", 10, &f), -ENOEXEC);
	assert_int_equal(facts_of("", 0, &f), -ENOEXEC);
	assert_int_equal(facts_of(&im, sizeof(Elf64_Ehdr) - 1, &f), -ENOEXEC);
	fd = open("/", O_RDONLY | O_DIRECTORY);
	assert_int_equal(elf_facts_read(fd, &f), -EISDIR);
	close(fd);
}

/* Every cut and every damaged byte: an answer or an error, and never a read outside (ASan). */
static void t_damaged(void **state)
{
	static const u8 bad[] = { 0x00, 0x7f, 0x80, 0xff };
	struct image im, whole;
	struct elf_facts f;
	size_t i, k;
	int whole_answers = 0;

	(void)state;
	build(&whole);
	for (i = 0; i < sizeof(im); i++) {
		facts_of(&whole, i, &f);
		assert_true(f.build_id_len <= ELF_BUILD_ID_MAX);
		for (k = 0; k < sizeof(bad); k++) {
			im = whole;
			((u8 *)&im)[i] = bad[k];
			whole_answers +=
				!facts_of(&im, sizeof(im), &f) && f.python_hex == 0x030b02f0;
			assert_true(f.build_id_len <= ELF_BUILD_ID_MAX);
		}
	}
	/* Most bytes do not matter for the version; those that do must have been noticed. */
	assert_in_range(whole_answers, (int)sizeof(im) * 2, (int)sizeof(im) * 4 - 100);
}

/* A key that lies across the seam of two windows of the string table is found. */
static void t_seam(void **state)
{
	enum {
		WINDOW = 64 << 10
	};
	static char file[sizeof(struct image) + 2 * WINDOW];
	struct image *im = (struct image *)file;
	struct elf_facts f;
	u32 at;

	(void)state;
	for (at = WINDOW - 14; at <= WINDOW + 2; at++) {
		memset(file, 'x', sizeof(file));
		build(im);
		im->sh[2].sh_offset = sizeof(*im);
		im->sh[2].sh_size = 2 * WINDOW;
		memcpy(file + sizeof(*im) + at - 1, "\0Py_Version", 12);
		im->sym[1].st_name = at;
		assert_int_equal(facts_of(file, sizeof(file), &f), 0);
		assert_int_equal(f.python_hex, 0x030b02f0);
	}
}

static void t_self(void **state)
{
	struct elf_facts f;
	int fd = open("/proc/self/exe", O_RDONLY);

	(void)state;
	assert_int_equal(elf_facts_read(fd, &f), 0);
	assert_true(f.is_64 && f.symtab && f.dynsym && f.debug && !f.go);
	assert_int_equal(f.python_hex, 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_made_up), cmocka_unit_test(t_refused),
		cmocka_unit_test(t_damaged), cmocka_unit_test(t_seam),
		cmocka_unit_test(t_self),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
