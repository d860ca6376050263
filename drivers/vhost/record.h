/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The records of one port's rings (vhost_records.h). A ring's record is open from its start to the
 * answer of GET_VRING_BASE; one that is open when a ring starts was left by a process that was
 * killed, or by a connection that broke.
 *
 * It is closed after the answer was sent, not before: a kill between the two leaves an open record
 * of the position that the front-end knows, and the other way round a front-end without an answer
 * and no record. That the ring may be another one by then is judged by what stands in it.
 *
 * Thread: control.
 */
#include "vhost_records.h"
#include "vq.h"
#include "vu_session.h"

/* What a ring must have in common with its record. */
struct vhost_record_key {
	uint64_t features;
	uint64_t dev, ino, offset; /* which file the descriptors lie in, and where */
	uint64_t driver, device;   /* addresses of the other two areas, as the front-end said */
	uint64_t process;          /* of the front-end: no other one since the boot has it; or 0 */
	uint32_t pid;
	uint32_t num;
};

struct vhost_record {
	struct vhost_records *records; /* NULL: nothing is recorded */
	uint8_t *base;                 /* of the port's part of the mapped file */
	uint64_t offset;               /* of that part in the file */
	uint32_t pid;                  /* of the front-end that is connected */
	uint64_t process;
	uint64_t since_ms;      /* since the boot: the front-end before it left, or none did */
	bool young;             /* the process of the front-end started after that */
	bool ran[VU_MAX_RINGS]; /* while this front-end is connected */
	uint32_t backed[VU_MAX_RINGS]; /* bytes that are allocated to the ring's record */
};

/* Records for the port of that name; without them (-errno), rings are not recorded. */
int vhost_record_begin(struct vhost_record *rec, struct vhost_records *records, const char *port);
void vhost_record_end(struct vhost_record *rec);
/*
 * Whom the connected socket `fd` leads to. A process that started after the port was made, and
 * after the front-end before it left, has no ring that a killed back-end or a broken connection
 * left: what it says of where its rings are has come by migration, or they are new.
 */
void vhost_record_peer(struct vhost_record *rec, int fd);
/* The port is made; the front-end has left. */
void vhost_record_alone(struct vhost_record *rec);

/*
 * The packed ring `ring` is about to start as `cfg` says, whose `num`, `desc` and `base` are set:
 * decide where, and set `base` and `progress`. Rings that have an in-flight buffer have no record.
 * 0; -EUCLEAN: nobody knows where it is, so the guest has to reset it. `*resumes`: it goes on by
 * the record.
 */
int vhost_record_judge(struct vhost_record *rec, const struct vu_session *s, unsigned ring,
	struct vq_config *cfg, bool *resumes);
/* The ring goes on where it rested, so `base` is right: set `progress`. */
void vhost_record_resume(
	struct vhost_record *rec, const struct vu_session *s, unsigned ring, struct vq_config *cfg);
/* It was set up: what it does from now on is recorded. */
void vhost_record_open(struct vhost_record *rec, const struct vu_session *s, unsigned ring,
	const struct vq_config *cfg);
/* The front-end knows where it stopped. */
void vhost_record_close(struct vhost_record *rec, unsigned ring);
