/* SPDX-License-Identifier: BSD-3-Clause */
/* What a user is told. */
#include "options.h"

static void help_ports(FILE *to)
{
	fputs("Usage: ringwayd --socket-path=PATH... [OPTION]...\n"
	      "Switch Ethernet frames between virtual machines that attach through vhost-user.\n"
	      "\n"
	      "Ports, at least one unless there is a configuration:\n"
	      "  --socket-path=PATH  listen on PATH; the port is named after the file without\n"
	      "                      its ending .sock\n"
	      "  --port NAME,socket=PATH[,mode=server|client][,KEY=VALUE]...\n"
	      "              [,vlan=VID | ,trunk=VIDS[,native=VID]][,tpid=8021q|8021ad]\n"
	      "              [,bridge=NAME]\n"
	      "                      a port called NAME; a client connects to PATH, again and\n"
	      "                      again until somebody listens there (default: server).\n"
	      "                      description=TEXT; postcopy=on, device-state=on,\n"
	      "                      config-space=on and max-KIND=N say what its front-end\n"
	      "                      may do and take\n"
	      "  --port NAME,device=DRIVER[,KEY=VALUE]...\n"
	      "                      an uplink: a port with one of DPDK's devices, such as\n"
	      "                      net_af_packet,iface=eth1; other keys are the device's\n"
	      "  --fd=FDNUM          the vhost-user socket is file descriptor FDNUM; excludes\n"
	      "                      the options above\n"
	      "Ports come and go while it runs, too: ringway port add, ringway port del.\n"
	      "\n"
	      "  --bridge=NAME       there is a bridge NAME, besides default: ports with\n"
	      "                      bridge=NAME exchange frames with each other alone\n"
	      "  --vlan=NAME=VID     VLAN VID is called NAME; the name can be given for the\n"
	      "                      number\n"
	      "  --mirror=NAME,to=PORT,source=PORT[+PORT]...|vlan=VID[,direction=in|out|both]\n"
	      "           [,snap=BYTES][,sample=N][,bridge=NAME][,tpid=8021q|8021ad]\n"
	      "                      copies of what those ports, or all in that VLAN, send and\n"
	      "                      receive go to port to=, which gets nothing else\n"
	      "\n"
	      "  --config FILE       read FILE, YAML or JSON: keys are these options without\n"
	      "                      --, and ports, with the keys of --port for each name;\n"
	      "                      an option given here as well prevails\n"
	      "  --check-config FILE read FILE, say what is wrong with it, and end\n"
	      "  --config-schema     print the JSON Schema of such a file, and end\n"
	      "  --control-schema    print what the control socket understands, and end\n"
	      "\n",
		to);
}

static void help_forwarding(FILE *to)
{
	fputs("Forwarding:\n"
	      "  --cpus LIST         CPUs that move frames, such as 1,3-5; each is used up\n"
	      "                      whole while there are some (default: the highest one\n"
	      "                      allowed)\n"
	      "  --idle=MODE         while there are none: adaptive, wait a moment, then sleep\n"
	      "                      until a guest sends (the default); or spin, use the CPUs\n"
	      "                      up whole all the time, and ask no guest to wake anybody\n"
	      "  --fdb-size=N        remember at most N addresses (default: 65536)\n"
	      "  --fdb-age=SECONDS   forget an address silent so long; 0: never (default: 300)\n"
	      "  --fdb-linger=SECONDS  keep them so long without a front-end (default: 10)\n"
	      "  --forward=MODE      switch (the default), or without a switch, to measure\n"
	      "                      guests; ports are paired as they are given, the first\n"
	      "                      with the second, a last odd one with itself:\n"
	      "                        io       to the partner, unchanged\n"
	      "                        mac      to the partner, with addresses of ringwayd's\n"
	      "                        macswap  to the partner, addresses exchanged\n"
	      "                        rxonly   take and count, send nothing\n"
	      "                        txonly   send frames of 64 bytes to every port\n"
	      "                      can be changed while it runs: ringway forward\n"
	      "  --snooping=on|off   on: listen to IGMP and MLD, and send multicast only to\n"
	      "                      ports that have joined its group (default: off)\n"
	      "  --balance=off|auto[,SECONDS]\n"
	      "                      auto: every 10 or so many seconds move queues from busy\n"
	      "                      workers to others, where that clearly pays (default: off)\n"
	      "\n",
		to);
}

void options_print_help(FILE *to)
{
	help_ports(to);
	help_forwarding(to);
	fputs("Running:\n"
	      "  --takeover=SOCKET   go on in the place of the ringwayd whose control socket\n"
	      "                      this is: same ports and settings, guests stay connected\n"
	      "  --control=PATH      socket for the ringway command (default: for root\n"
	      "                      /run/ringway.sock, for others\n"
	      "                      $XDG_RUNTIME_DIR/ringway.sock or /tmp/ringway-UID.sock);\n"
	      "                      none: without one\n"
	      "  --state-dir=DIR|none  where packed rings are: after a kill or a restart they\n"
	      "                      go on there (default: /run/ringway, if it exists)\n"
	      "  --pidfile=PATH      write the process id to PATH, and keep that file locked\n"
	      "  --no-huge           do not use huge pages for ringwayd's own memory\n"
	      "  --socket-dir=DIR    allow ports that are added later to have their sockets in\n"
	      "                      DIR, too, besides where those given here have theirs\n"
	      "  --socket-mode=OCTAL, --socket-owner=USER, --socket-group=GROUP\n"
	      "                      of sockets that ringwayd makes for ports, unless a port\n"
	      "                      has these as KEY=VALUE (default: 0600, who starts it)\n"
	      "  --user=NAME[:GROUP]\n"
	      "                      run as that user (default when root starts it: ringway,\n"
	      "                      if there is one)\n"
	      "  --seccomp=MODE      what meets a system call that ringwayd has no use for:\n"
	      "                      errno, it fails and a line says so (the default); kill,\n"
	      "                      ringwayd ends; off, nothing, there are no filters\n"
	      "  --log-level=LEVEL   error, warning, info or debug (default: info)\n"
	      "\n"
	      "Information:\n"
	      "  --print-capabilities  print what this back-end is, as JSON, and exit\n"
	      "  --version             print the version and exit\n"
	      "  -h, --help            print this and exit\n"
	      "\n"
	      "ringwayd stays in the foreground and ends on SIGTERM, SIGINT or SIGHUP; with\n"
	      "--config, SIGHUP has it read that file again and apply what has changed. A\n"
	      "mistake in the command line is named, and the exit status is 2.\n",
		to);
}

void options_print_capabilities(FILE *to)
{
	fputs("{\"type\": \"net\"}\n", to);
}
