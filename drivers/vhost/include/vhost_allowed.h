/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
#include <stdbool.h>

/*
 * What the operator allows a port's front-ends beyond the usual.
 *
 * Post-copy gives a front-end a userfaultfd over the memory of this whole process, other guests'
 * included. A file in user space can make a worker wait for ever.
 *
 * A QEMU that is offered DEVICE_STATE makes the state a part of every migration, and then the guest
 * ends where it arrives at an older QEMU or at a back-end without the feature. A QEMU that is
 * offered CONFIG warns at each connection, since its own space prevails.
 */
struct vhost_allowed {
	bool postcopy;     /* they are offered post-copy migration */
	bool any_file;     /* they may share files of any file system, not only of tmpfs */
	bool device_state; /* they are offered DEVICE_STATE */
	bool config_space; /* they are offered CONFIG */
};
