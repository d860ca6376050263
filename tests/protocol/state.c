/* SPDX-License-Identifier: BSD-3-Clause */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static struct fe_guest_config guest_migrating(void)
{
	struct fe_guest_config c = guest_usual();

	c.features |= FE_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE);
	c.protocol_features |= FE_BIT(VU_PF_DEVICE_STATE);
	return c;
}

struct peer *state_guest_up(struct rig *r, const char *port)
{
	const struct fe_guest_config c = guest_migrating();

	return peer_up(r, port, &c);
}

void state_guest_stop(struct peer *p)
{
	assert_int_equal(fe_guest_stop_ring(p->g, 0, NULL), 0);
	assert_int_equal(fe_guest_stop_ring(p->g, 1, NULL), 0);
}

struct peer *state_guest_incoming(struct rig *r, const char *port)
{
	const struct fe_guest_config c = guest_migrating();
	struct peer *p = peer_new(r, port, &c);

	peer_connect(r, p);
	assert_int_equal(fe_guest_negotiate(p->g), 0);
	return p;
}

void state_guest_go(struct peer *p)
{
	assert_int_equal(fe_guest_reset_rings(p->g), 0);
	assert_int_equal(fe_guest_share_memory(p->g), 0);
	assert_int_equal(fe_guest_start_ring(p->g, 0), 0);
	assert_int_equal(fe_guest_start_ring(p->g, 1), 0);
}

int state_begin(struct peer *p, uint32_t direction)
{
	int fds[2], back, err, ours = direction == VU_STATE_LOAD;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	err = fe_conn_set_state_fd(&p->g->conn, direction, fds[!ours], &back);
	close(fds[!ours]);
	if (err) {
		close(fds[ours]);
		return err;
	}
	assert_int_equal(back, -1);
	return fds[ours];
}

uint32_t state_read(struct rig *r, int fd, uint8_t *data, uint32_t size)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint32_t len = 0;
	ssize_t n = 1;

	while (n && len < size) {
		assert_int_equal(poll(&p, 1, rig_patience(r)), 1);
		n = read(fd, data + len, size - len);
		assert_true(n >= 0);
		len += (uint32_t)n;
	}
	return len;
}

uint32_t state_save(struct rig *r, struct peer *p, uint8_t *data, uint32_t size)
{
	int fd = state_begin(p, VU_STATE_SAVE);
	uint32_t len;

	assert_true(fd >= 0);
	len = state_read(r, fd, data, size);
	close(fd);
	assert_int_equal(fe_conn_check_state(&p->g->conn), 0);
	return len;
}

void state_write(int fd, const uint8_t *data, uint32_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		/* A back-end that has seen enough closes its end. */
		if (n < 0 && errno == EPIPE)
			return;
		assert_true(n > 0);
		data += n;
		len -= (uint32_t)n;
	}
}

int state_load(struct peer *p, const uint8_t *data, uint32_t len)
{
	int fd = state_begin(p, VU_STATE_LOAD);

	assert_true(fd >= 0);
	state_write(fd, data, len);
	close(fd);
	return fe_conn_check_state(&p->g->conn);
}

uint32_t state_make(uint8_t *data, uint32_t first, uint32_t n)
{
	uint32_t i;

	memset(data, 0, STATE_HEADER);
	memcpy(data, "RINGWAY", 8);
	data[STATE_VERSION] = 1;
	memcpy(data + STATE_COUNT, &n, 4);
	for (i = 0; i < n; i++) {
		uint8_t *s = data + STATE_HEADER + i * STATE_HOST;
		uint16_t vlan = (uint16_t)((first + i) % 4095);

		host_make(s, first + i);
		memcpy(s + 6, &vlan, 2);
	}
	return STATE_HEADER + n * STATE_HOST;
}

void state_is_announced(struct rig *r, struct peer *p, uint32_t first, uint32_t n)
{
	uint8_t mac[6];
	uint32_t i;

	for (i = first; i < first + n; i++) {
		host_make(mac, i);
		peer_expect_rarp(r, p, mac, (uint16_t)(i % 4095));
	}
}

void state_is_not_announced(struct rig *r, struct peer *p, struct peer *listener)
{
	static uint8_t got[FRAME_MAX];
	struct fe_received in;

	state_guest_go(p);
	peer_send_to(r, p, mac_broadcast, 77, 1);
	peer_recv(r, listener, 0, got, &in);
	assert_int_equal(in.len, 77);
}
