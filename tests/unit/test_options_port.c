/* SPDX-License-Identifier: BSD-3-Clause */
/* The ports on the command line of ringwayd, and those that are added while it runs. */
#include "options_fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void ports_keep_their_order_and_are_named_after_their_files(void **state)
{
	(void)state;
	takes("--socket-path=/tmp/z.sock --port up:link,socket=/nowhere/u,mode=client "
	      "--socket-path=a.b-c_D9 --port s,mode=server,socket=/tmp/s.socket");
	assert_int_equal(got.nports, 4);
	assert_string_equal(got.ports[0].name, "z");
	assert_string_equal(got.ports[1].name, "up:link");
	assert_int_equal(got.ports[1].mode, OPTIONS_CLIENT);
	assert_string_equal(got.ports[1].path, "/nowhere/u");
	assert_string_equal(got.ports[2].name, "a.b-c_D9");
	assert_string_equal(got.ports[2].path, "a.b-c_D9");
	assert_string_equal(got.ports[3].name, "s");
	assert_int_equal(got.ports[3].mode, OPTIONS_SERVER);
}

static void a_name_that_a_file_cannot_give_is_asked_for(void **state)
{
	(void)state;
	refuses("--socket-path=/tmp/.sock", "--port NAME,socket=PATH");
	refuses("--socket-path=/tmp/a+b.sock", "\"a+b\" cannot name a port");
	refuses("--socket-path=/tmp/n23456789012345678901234567890123.sock",
		"--port NAME,socket=PATH");
	takes("--socket-path=/tmp/n2345678901234567890123456789012.sock");
	assert_string_equal(got.ports[0].name, "n2345678901234567890123456789012");
	takes("--port ok,socket=/tmp/a+b.sock");
	refuses("--port a+b,socket=/tmp/x", "\"a+b\" cannot name a port");
	refuses("--port ,socket=/tmp/x", "\"\" cannot name a port");
	refuses("--port socket=/tmp/x", "write --port NAME,socket=PATH");
	refuses("--port n23456789012345678901234567890123,socket=/tmp/x", "cannot name a port");
}

static void names_are_unique(void **state)
{
	(void)state;
	refuses("--socket-path=/tmp/vm1.sock --socket-path=/var/vm1", "two ports are named vm1");
	refuses("--socket-path=/tmp/vm1.sock --port vm1,socket=/tmp/x", "two ports are named vm1");
	refuses("--port vm1,socket=/tmp/x --port vm1,socket=/tmp/y,mode=client",
		"two ports are named vm1");
}

static void a_port_is_wanted(void **state)
{
	(void)state;
	refuses("--no-huge", "there is no port: give --socket-path=PATH");
	assert_int_equal(
		options_parse(1, (char *[]){"ringwayd", NULL}, &got, err, sizeof(err)) < 0, 1);
}

static void mistakes_in_port_are_named(void **state)
{
	(void)state;
	refuses("--port vm1", "the socket is missing");
	refuses("--port vm1,mode=client", "the socket is missing");
	refuses("--port vm1,socket=", "--port vm1,socket=: the path is empty");
	refuses("--port vm1,socket=/tmp/x,mode=master", "mode is \"master\"");
	refuses("--port vm1,socket=/tmp/x,mode=", "mode is \"\"");
	refuses("--port vm1,path=/tmp/x", "unknown key \"path\"");
	refuses("--port vm1,socket=/tmp/x,", "\"\" is not KEY=VALUE");
	refuses("--port vm1,socket", "\"socket\" is not KEY=VALUE");
	refuses("--port vm1,socket=/tmp/x,socket=/tmp/y", "socket is given twice");
	refuses("--port vm1,mode=client,mode=server,socket=/tmp/x", "mode is given twice");
}

static void a_port_has_a_kind_and_a_description(void **state)
{
	(void)state;
	takes("--socket-path=/tmp/a --port b,description=tenant-7=x,kind=vhost,socket=/tmp/b");
	assert_ptr_equal(got.ports[0].kind, &kind_vhost);
	assert_string_equal(got.ports[0].description, "");
	assert_ptr_equal(got.ports[1].kind, &kind_vhost);
	assert_string_equal(got.ports[1].description, "tenant-7=x");
	refuses("--port b,kind=tap,socket=/tmp/b",
		"--port b: unknown kind \"tap\" (there are vhost, ethdev)");
	refuses("--port b,kind=vhost,kind=vhost,socket=/tmp/b", "kind is given twice");
	refuses("--port b,colour=red,socket=/tmp/b",
		"unknown key \"colour\" (there are socket, mode, socket-mode, ");
	refuses("--port b,socket=/tmp/b,description=a\tb", "not printable");
	refuses("--port b,socket=/tmp/b,description="
		"0123456789012345678901234567890123456789012345678901234567890123",
		"the description has at most 63 bytes, not 64");
	takes("--port b,socket=/tmp/b,description=");
}

static void is_in(const char *words, unsigned access, const char *trunk, unsigned native)
{
	static char line[256], text[OPTIONS_VLANS_TEXT];
	const struct options_vlans *v = &got.ports[0].vlans;

	snprintf(line, sizeof(line), "--port b,socket=/tmp/b%s", words);
	takes(line);
	assert_int_equal(v->access, access);
	assert_int_equal(v->native, native);
	assert_int_equal(v->trunk, trunk != NULL);
	options_vlans_text(v, text, sizeof(text));
	assert_string_equal(text, trunk ? trunk : "");
}

static void a_port_is_in_all_vlans_in_one_or_a_trunk_of_some(void **state)
{
	(void)state;
	is_in("", 0, NULL, 0);
	is_in(",vlan=none,trunk=none,native=none", 0, NULL, 0);
	is_in(",vlan=1", 1, NULL, 0);
	is_in(",vlan=4094", 4094, NULL, 0);
	is_in(",trunk=7", 0, "7", 0);
	is_in(",trunk=20-30+10+25-40+9", 0, "9-10+20-40", 0);
	is_in(",native=5,trunk=1-4094", 0, "1-4094", 5);
	is_in(",trunk=all", 0, "1-4094", 0);
	/* Every second one is the longest text. */
	for (unsigned vlan = 1; vlan <= OPTIONS_VLAN_MAX; vlan++)
		got.ports[0].vlans.allowed[vlan / 64] = UINT64_C(0xaaaaaaaaaaaaaaaa);
	options_vlans_text(&got.ports[0].vlans, (char[OPTIONS_VLANS_TEXT]){0}, OPTIONS_VLANS_TEXT);
}

static void what_is_no_vlan_is_refused(void **state)
{
	(void)state;
	refuses("--port b,socket=/tmp/b,vlan=0", "must be a VLAN id from 1 to 4094, or none");
	refuses("--port b,socket=/tmp/b,vlan=4095", "vlan is \"4095\"");
	refuses("--port b,socket=/tmp/b,vlan=", "vlan is \"\"");
	refuses("--port b,socket=/tmp/b,vlan=10+20", "vlan is \"10+20\"");
	refuses("--port b,socket=/tmp/b,trunk=", "trunk is \"\", but must be VLAN ids");
	refuses("--port b,socket=/tmp/b,trunk=0", "trunk is \"0\"");
	refuses("--port b,socket=/tmp/b,trunk=10-", "trunk is \"10-\"");
	refuses("--port b,socket=/tmp/b,trunk=20-10", "trunk is \"20-10\"");
	refuses("--port b,socket=/tmp/b,trunk=10+", "trunk is \"10+\"");
	refuses("--port b,socket=/tmp/b,trunk=10++20", "trunk is \"10++20\"");
	refuses("--port b,socket=/tmp/b,trunk=4094-4095", "like 10+20-30, or all, or none");
	refuses("--port b,socket=/tmp/b,trunk=1-4294967296", "trunk is");
	refuses("--port b,socket=/tmp/b,vlan=10,trunk=20", "a port has either vlan= or trunk=");
	refuses("--port b,socket=/tmp/b,native=20", "native= is for a port with trunk=");
	refuses("--port b,socket=/tmp/b,vlan=10,native=20", "native= is for a port with trunk=");
}

static void what_a_front_end_may_take_is_said(void **state)
{
	static const struct {
		const char *words;
		enum rw_budget_kind kind;
		uint64_t limit;
	} good[] = {
		{"max-fds=1", RW_BUDGET_FDS, 1},
		{"max-mappings=100000", RW_BUDGET_MAPPINGS, 100000},
		{"max-mapped=4T", RW_BUDGET_MAPPED, 4ull << 40},
		{"max-mapped=12345", RW_BUDGET_MAPPED, 12345},
		{"max-slots=509", RW_BUDGET_SLOTS, 509},
		{"max-iotlb=8192", RW_BUDGET_IOTLB, 8192},
		{"max-scratch=16M", RW_BUDGET_SCRATCH, 16ull << 20},
		{"max-addresses=32", RW_BUDGET_ADDRESSES, 32},
		{"max-addresses=none", RW_BUDGET_ADDRESSES, RW_BUDGET_NO_LIMIT},
	};
	static const char *const bad[] = {"max-fds=0", "max-fds=-1", "max-fds=", "max-fds=1K",
		"max-fds=none", "max-slots=510", "max-iotlb=8193", "max-mapped=4X",
		"max-mapped=4TT", "max-mapped=99999999T", "max-mapped=99999999999999999999",
		"max-addresses=5000000000"};
	char line[128];

	(void)state;
	takes("--socket-path=/tmp/a");
	for (unsigned k = 0; k < RW_BUDGET_KINDS; k++)
		assert_int_equal(got.ports[0].limits[k], rw_budget_default(k));
	for (size_t i = 0; i < RW_ARRAY_SIZE(good); i++) {
		snprintf(line, sizeof(line), "--port b,socket=/tmp/b,%s", good[i].words);
		takes(line);
		for (unsigned k = 0; k < RW_BUDGET_KINDS; k++)
			assert_true(got.ports[0].limits[k] ==
				(k == good[i].kind ? good[i].limit : rw_budget_default(k)));
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		snprintf(line, sizeof(line), "--port b,socket=/tmp/b,%s", bad[i]);
		refuses(line, "but must be");
	}
	refuses("--port b,socket=/tmp/b,max-fds=4,max-fds=4", "max-fds is given twice");
}

#define END ((const char *)NULL)

/* A request of a switch that runs with `got`: names and KEY=VALUE pairs, ended by END. */
static int add(const char *name, ...)
{
	struct options_pair pairs[OPTIONS_PAIRS_MAX];
	unsigned n = 0;
	va_list ap;

	va_start(ap, name);
	while ((pairs[n].key = va_arg(ap, const char *)))
		pairs[n++].value = va_arg(ap, const char *);
	va_end(ap);
	return options_port_add(&got, name, pairs, n, err, sizeof(err));
}

/* It was refused, and nothing changed. */
static void added_not(int ret, const char *word)
{
	assert_true(ret < 0);
	if (!strstr(err, word))
		fail_msg("says     %s\n  without  %s", err, word);
	assert_int_equal(got.nports, 2);
}

static void a_port_with_a_device_is_an_uplink(void **state)
{
	json_t *doc;

	(void)state;
	takes("--port u,iface=eth0,device=net_af_packet,qpairs=2,mtu=9000,queues=2,vlan=7");
	assert_ptr_equal(got.ports[0].kind, &kind_ethdev);
	assert_string_equal(got.ports[0].device, "net_af_packet,iface=eth0,qpairs=2");
	assert_int_equal(got.ports[0].mtu, 9000);
	assert_int_equal(got.ports[0].queues, 2);
	assert_int_equal(got.ports[0].vlans.access, 7);
	doc = options_port_document(&got.ports[0]);
	assert_string_equal(json_string_value(json_object_get(doc, "device")),
		"net_af_packet,iface=eth0,qpairs=2");
	json_decref(doc);
	/* What is a key of another kind is an argument here. */
	takes("--port u,device=net_memif0,socket=/tmp/m,kind=ethdev,role=server");
	assert_string_equal(got.ports[0].device, "net_memif0,socket=/tmp/m,role=server");
	assert_string_equal(got.ports[0].path, "");
	takes("--port u,device=net_pcap,rx_pcap=a,rx_pcap=b");
	assert_string_equal(got.ports[0].device, "net_pcap,rx_pcap=a,rx_pcap=b");
	refuses("--port u,kind=ethdev,mtu=1500", "the device is missing: give device=DRIVER");
	refuses("--port u,device=", "device is \"\", but must be one of DPDK's");
	refuses("--port u,device=net_tap,mtu=67", "mtu is \"67\", but must be 68 to");
	refuses("--port u,device=net_tap,queues=0", "queues is \"0\", but must be 1 to");
	refuses("--port u,device=net_tap,iface=\001", "not printable ASCII without blanks");
	refuses("--port u,device=a,device=b", "device is given twice");
	takes("--socket-path=/tmp/a --socket-path=/tmp/b");
	added_not(add("u", "device", "net_tap", END), "restart ringwayd");
}

static void ports_are_added_to_a_switch_that_runs(void **state)
{
	(void)state;
	takes("--socket-path=/tmp/a --port b,socket=/tmp/b,mode=client --control=/tmp/c "
	      "--pidfile=/tmp/p");
	added_not(add("a", "socket", "/tmp/x", END), "two ports are named a");
	added_not(add("c d", "socket", "/tmp/x", END), "\"c d\" cannot name a port");
	added_not(add("", "socket", "/tmp/x", END), "\"\" cannot name a port");
	added_not(add("c", END), "port c: the socket is missing: give socket=PATH");
	added_not(add("c", "socket", "", END), "port c,socket=: the path is empty");
	added_not(add("c", "socket", "/tmp/x", "mode", "both", END),
		"port c: mode is \"both\", but must be server or client");
	added_not(add("c", "socket", "/tmp/x", "speed", "9", END), "unknown key \"speed\"");
	added_not(add("c", "socket", "/tmp/x", "socket", "/tmp/y", END), "socket is given twice");
	added_not(add("c", "socket", "/tmp/x", "kind", "tap", END), "unknown kind \"tap\"");
	added_not(add("c", "socket", "/tmp/./b", END), "ports b and c have the same socket");
	added_not(add("c", "socket", "/tmp/c", END), "port c and --control have the same file");
	added_not(add("c", "socket", "/tmp/p", END), "port c and --pidfile have the same file");
	added_not(add("c", "socket", "/nowhere/c", END), "there is no directory /nowhere");
	added_not(add("c", "socket", "/tmp/", END), "names a directory");
	assert_int_equal(add("c", "mode", "client", "socket", "/nowhere/c", END), 0);
	assert_int_equal(got.nports, 3);
	assert_string_equal(got.ports[2].name, "c");
	assert_string_equal(got.ports[2].path, "/nowhere/c");
	assert_int_equal(got.ports[2].mode, OPTIONS_CLIENT);
	options_port_del(&got, 0);
	assert_int_equal(got.nports, 2);
	assert_string_equal(got.ports[0].name, "b");
	assert_string_equal(got.ports[1].name, "c");
	assert_int_equal(add("a", "socket", "/tmp/a", END), 0);
}

static void what_may_change_of_a_port_is_changed(void **state)
{
	const struct options_pair twice[] = {{"description", "one"}, {"description", "two"}};
	const struct options_pair kind = {"kind", "vhost"}, socket_ = {"socket", "/tmp/x"};
	const struct options_pair bogus[] = {{"description", "new"}, {"colour", "red"}};
	const struct options_pair good = {"description", "new"};

	(void)state;
	takes("--socket-path=/tmp/a --port b,socket=/tmp/b,description=old");
	assert_true(options_port_set(&got, 1, &kind, 1, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "port b: kind cannot be changed while the port exists"));
	assert_true(options_port_set(&got, 1, &socket_, 1, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "port b: socket cannot be changed while the port exists"));
	assert_true(options_port_set(&got, 1, bogus, 2, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "port b: unknown key \"colour\""));
	assert_true(options_port_set(&got, 1, twice, 2, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "description is given twice"));
	assert_true(options_port_set(&got, 1, NULL, 0, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "nothing to set"));
	assert_string_equal(got.ports[1].description, "old");
	assert_int_equal(options_port_set(&got, 1, &good, 1, err, sizeof(err)), 0);
	assert_string_equal(got.ports[1].description, "new");
	assert_string_equal(got.ports[0].description, "");
}

static void an_access_port_becomes_a_trunk_in_one_request(void **state)
{
	const struct options_pair trunk[] = {{"trunk", "20"}, {"vlan", "none"}};

	(void)state;
	takes("--port b,socket=/tmp/b,vlan=10");
	assert_true(options_port_set(&got, 0, trunk, 1, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "port b: a port has either vlan= or trunk=: set the other"));
	assert_false(got.ports[0].vlans.trunk);
	assert_int_equal(options_port_set(&got, 0, trunk, 2, err, sizeof(err)), 0);
	assert_true(got.ports[0].vlans.trunk);
	assert_true(options_vlan_has(&got.ports[0].vlans, 20));
	assert_int_equal(got.ports[0].vlans.access, 0);
}

static void the_access_to_a_socket_is_the_ports_or_that_of_all(void **state)
{
	struct rw_sock_access a;

	(void)state;
	takes("--port a,socket=/tmp/a --port b,socket=/tmp/b,socket-mode=0666,socket-owner=7 "
	      "--socket-mode 660 --socket-group root");
	a = options_access(&got.ports[0], &got.access);
	assert_int_equal(a.mode, 0660);
	assert_int_equal(a.owner, RW_SOCK_SAME);
	assert_int_equal(a.group, 0);
	a = options_access(&got.ports[1], &got.access);
	assert_int_equal(a.mode, 0666);
	assert_int_equal(a.owner, 7);
	assert_int_equal(a.group, 0);
	takes("--port a,socket=/tmp/a");
	a = options_access(&got.ports[0], &got.access);
	assert_int_equal(a.mode, 0600);
	assert_int_equal(a.group, RW_SOCK_SAME);
}

static void an_access_that_lets_nobody_in_is_refused(void **state)
{
	(void)state;
	refuses("--port a,socket=/tmp/a,socket-mode=0060",
		"port a: socket-mode=0060: the mode is an octal number such as 0660");
	refuses("--port a,socket=/tmp/a,socket-mode=0770", "socket-mode=0770");
	refuses("--port a,socket=/tmp/a,socket-mode=rw", "socket-mode=rw");
	refuses("--port a,socket=/tmp/a,socket-mode=", "socket-mode");
	refuses("--port a,socket=/tmp/a --socket-mode=1666", "--socket-mode=1666");
	refuses("--port a,socket=/tmp/a,socket-group=no-such-group",
		"port a: socket-group=no-such-group: there is no such group");
	refuses("--port a,socket=/tmp/a --socket-owner=no-such-user",
		"--socket-owner=no-such-user: there is no such user");
	refuses("--port a,socket=/tmp/a,mode=client,socket-mode=0660",
		"port a: socket-mode is for a port with mode=server");
}

/* Parse "--fd=N" for `fd`, and close it. */
static void refuse_fd(int fd, const char *word)
{
	char line[64];

	assert_true(fd >= 0);
	snprintf(line, sizeof(line), "--fd=%d", fd);
	refuses(line, word);
	close(fd);
}

static void an_fd_that_is_no_unix_stream_socket_is_refused(void **state)
{
	int fds[2];

	(void)state;
	refuses("--fd=1000000", "--fd=1000000: this file descriptor is not open");
	refuses("--fd=-1", "give the number of a file descriptor");
	refuses("--fd=x", "give the number of a file descriptor");
	refuses("--fd=99999999999", "give the number of a file descriptor");
	refuse_fd(open("/dev/null", O_RDWR), "is not a socket");
	refuse_fd(socket(AF_INET, SOCK_STREAM, 0), "is not a Unix socket");
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	refuse_fd(fds[0], "is not a stream socket");
	close(fds[1]);
	refuse_fd(socket(AF_UNIX, SOCK_STREAM, 0), "neither listens nor is connected");
}

static void an_fd_is_a_connection_or_listens(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char line[64], name[32];
	int fds[2], fd;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	snprintf(line, sizeof(line), "--fd=%d", fds[0]);
	takes(line);
	snprintf(name, sizeof(name), "fd%d", fds[0]);
	assert_int_equal(got.nports, 1);
	assert_string_equal(got.ports[0].name, name);
	assert_int_equal(got.ports[0].mode, OPTIONS_FD);
	assert_int_equal(got.ports[0].fd, fds[0]);
	assert_string_equal(got.ports[0].path, "");
	assert_false(got.ports[0].listening);
	close(fds[0]);
	close(fds[1]);

	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)), 0);
	assert_int_equal(listen(fd, 1), 0);
	snprintf(line, sizeof(line), "--fd=%d", fd);
	takes(line);
	assert_true(got.ports[0].listening);
	close(fd);
}

static void as_many_ports_as_fit_are_taken(void **state)
{
	static char line[OPTIONS_PORTS_MAX * 48];
	size_t len = 0;

	(void)state;
	for (int i = 0; i < OPTIONS_PORTS_MAX; i++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s--socket-path=/tmp/vm%d",
			i ? " " : "", i);
	takes(line);
	assert_int_equal(got.nports, OPTIONS_PORTS_MAX);
	snprintf(line + len, sizeof(line) - len, " --socket-path=/tmp/more");
	refuses(line, "more than 1024 ports");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_keep_their_order_and_are_named_after_their_files),
		cmocka_unit_test(a_name_that_a_file_cannot_give_is_asked_for),
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(a_port_is_wanted),
		cmocka_unit_test(mistakes_in_port_are_named),
		cmocka_unit_test(a_port_has_a_kind_and_a_description),
		cmocka_unit_test(what_a_front_end_may_take_is_said),
		cmocka_unit_test(a_port_is_in_all_vlans_in_one_or_a_trunk_of_some),
		cmocka_unit_test(what_is_no_vlan_is_refused),
		cmocka_unit_test(a_port_with_a_device_is_an_uplink),
		cmocka_unit_test(ports_are_added_to_a_switch_that_runs),
		cmocka_unit_test(what_may_change_of_a_port_is_changed),
		cmocka_unit_test(an_access_port_becomes_a_trunk_in_one_request),
		cmocka_unit_test(the_access_to_a_socket_is_the_ports_or_that_of_all),
		cmocka_unit_test(an_access_that_lets_nobody_in_is_refused),
		cmocka_unit_test(an_fd_that_is_no_unix_stream_socket_is_refused),
		cmocka_unit_test(an_fd_is_a_connection_or_listens),
		cmocka_unit_test(as_many_ports_as_fit_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
