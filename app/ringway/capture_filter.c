/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture.h"

#include <pcap/pcap.h>
#include <string.h>

json_t *capture_filter_compile(const char *text, char *err, size_t len)
{
	json_t *list = json_array();
	struct bpf_program program;
	pcap_t *pcap;

	if (!*text)
		return list;
	pcap = pcap_open_dead(DLT_EN10MB, CAP_SNAP_MAX);
	if (!pcap || pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN)) {
		snprintf(err, len, "%s", pcap ? pcap_geterr(pcap) : "no memory");
		goto fail;
	}
	for (unsigned i = 0; i < program.bf_len; i++) {
		const struct bpf_insn *in = &program.bf_insns[i];

		json_array_append_new(list,
			json_pack("[i, i, i, I]", in->code, in->jt, in->jf, (json_int_t)in->k));
	}
	pcap_freecode(&program);
	pcap_close(pcap);
	return list;

fail:
	if (pcap)
		pcap_close(pcap);
	json_decref(list);
	return NULL;
}
