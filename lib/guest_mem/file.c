/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "gm_guard.h"
#include "rw_sys.h"

int gm_file_check(const struct gm_owner *owner, int fd)
{
	if (!owner || owner->any_file)
		return 0;
	/*
	 * Exactly the files of tmpfs and hugetlbfs have seals. The answer is in the kernel's
	 * memory; fstat and fstatfs would ask the file system, which may be a process that never
	 * answers.
	 */
	if (fcntl(fd, F_GET_SEALS) < 0)
		return errno == EBADF ? -EBADF : -EMEDIUMTYPE;
	return 0;
}

uint64_t gm_file_page_size(int fd)
{
	struct statfs fs;

	/* On hugetlbfs, and so for a memfd with huge pages, f_bsize is the huge page size. */
	if (!fstatfs(fd, &fs) && fs.f_type == HUGETLBFS_MAGIC && fs.f_bsize > 0)
		return (uint64_t)fs.f_bsize;
	return rw_page_size();
}

int gm_file_map(struct gm_owner *owner, enum gm_loss kind, int fd, uint64_t offset, uint64_t size,
	struct gm_file *out)
{
	struct gm_file file;
	uint64_t first;
	struct stat st;
	int ret = gm_file_check(owner, fd);

	if (ret)
		return ret;
	if (fstat(fd, &st))
		return -errno;
	/* Beyond the end of the file there is nothing but SIGBUS. */
	if (st.st_size < 0 || offset + size > (uint64_t)st.st_size)
		return -ENXIO;
	file.page_size = gm_file_page_size(fd);
	first = offset & ~(file.page_size - 1);
	file.len = rw_align_up(offset + size - first, file.page_size);
	/* Without MAP_NORESERVE: huge pages are reserved, or missing ones show here. */
	file.budgets = owner ? owner->budgets : NULL;
	if (owner)
		rw_helper_settle(owner->helper);
	ret = rw_budget_map(file.budgets, 1, file.len);
	if (ret)
		return ret;
	file.base = mmap(NULL, file.len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)first);
	if (file.base == MAP_FAILED) {
		ret = -errno;
		goto err_budget;
	}
	ret = gm_guard_add(owner, kind, file.base, file.len, &file.slot);
	if (ret)
		goto err_unmap;
	/* Keep a guest's memory out of core dumps and of children. */
	madvise(file.base, file.len, MADV_DONTDUMP);
	madvise(file.base, file.len, MADV_DONTFORK);
	file.helper = owner ? owner->helper : NULL;
	file.host = file.base + (offset - first);
	*out = file;
	return 0;
err_unmap:
	munmap(file.base, file.len);
err_budget:
	rw_budget_unmap(file.budgets, 1, file.len);
	return ret;
}

void gm_file_unmap(struct gm_file *file)
{
	if (!file->base)
		return;
	gm_guard_del(file->slot);
	/* From here on the helper has it charged, until it is unmapped. */
	rw_budget_unmap(file->budgets, 1, file->len);
	rw_helper_unmap(file->helper, file->base, file->len);
	*file = (struct gm_file){0};
}
