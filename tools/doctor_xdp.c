/* SPDX-License-Identifier: Apache-2.0 */
/* Which XDP program is on an interface, asked of the kernel itself. */
#include "tools/doctor.h"

#include "agent/base/own.h"

#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLASSIFIER "classify"
#define DISPATCHER "xdp_dispatcher"
#define LINKS_MAX  65536u

static int xdp_attr(const struct nlattr *attr, void *context)
{
	if (mnl_attr_get_type(attr) == IFLA_XDP_PROG_ID && mnl_attr_get_payload_len(attr) == sizeof(uint32_t))
		*(uint32_t *)context = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int link_attr(const struct nlattr *attr, void *context)
{
	return mnl_attr_get_type(attr) == IFLA_XDP ? mnl_attr_parse_nested(attr, xdp_attr, context) : MNL_CB_OK;
}

static int link_message(const struct nlmsghdr *message, void *context)
{
	if (message->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	mnl_attr_parse(message, sizeof(struct ifinfomsg), link_attr, context);
	return MNL_CB_STOP;
}

/* 0: none, or the kernel does not tell. */
static uint32_t program_id(const char *name)
{
	uint8_t buffer[32768] __attribute__((aligned(8)));
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	uint32_t id = 0;
	ssize_t len;

	if (!socket)
		return 0;
	request->nlmsg_type = RTM_GETLINK;
	request->nlmsg_flags = NLM_F_REQUEST;
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0 &&
		mnl_socket_sendto(socket, request, request->nlmsg_len) > 0) {
		len = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (len > 0)
			mnl_cb_run(buffer, (size_t)len, 0, 0, link_message, &id);
	}
	mnl_socket_close(socket);
	return id;
}

static long bpf_call(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* "" without the right to ask. */
static void program_name(uint32_t id, char name[static BPF_OBJ_NAME_LEN])
{
	union bpf_attr by_id = {.prog_id = id}, ask = {0};
	OWN_FD int fd = (int)bpf_call(BPF_PROG_GET_FD_BY_ID, &by_id);
	struct bpf_prog_info info = {0};

	name[0] = '\0';
	ask.info.bpf_fd = (uint32_t)fd;
	ask.info.info_len = sizeof(info);
	ask.info.info = (uintptr_t)&info;
	if (fd >= 0 && bpf_call(BPF_OBJ_GET_INFO_BY_FD, &ask) == 0)
		memcpy(name, info.name, BPF_OBJ_NAME_LEN);
	name[BPF_OBJ_NAME_LEN - 1] = '\0';
}

/* The program that a link puts in place of one of the dispatcher's own; 0: the link is of another kind, or target. */
static uint32_t link_program(uint32_t link_id, uint32_t dispatcher)
{
	union bpf_attr by_id = {.link_id = link_id}, ask = {0};
	OWN_FD int fd = (int)bpf_call(BPF_LINK_GET_FD_BY_ID, &by_id);
	struct bpf_link_info info = {0};

	ask.info.bpf_fd = (uint32_t)fd;
	ask.info.info_len = sizeof(info);
	ask.info.info = (uintptr_t)&info;
	if (fd < 0 || bpf_call(BPF_OBJ_GET_INFO_BY_FD, &ask) || info.type != BPF_LINK_TYPE_TRACING ||
		info.tracing.target_obj_id != dispatcher)
		return 0;
	return info.prog_id;
}

/* "other, classify"; "" if the kernel does not tell. In the order of their links, not of their runs. */
static void dispatched_names(uint32_t dispatcher, char *names, size_t size)
{
	union bpf_attr next = {0};
	size_t len = 0;

	names[0] = '\0';
	for (unsigned i = 0; i < LINKS_MAX && bpf_call(BPF_LINK_GET_NEXT_ID, &next) == 0; i++) {
		uint32_t program = link_program(next.next_id, dispatcher);
		char name[BPF_OBJ_NAME_LEN];

		next.start_id = next.next_id;
		if (!program || len >= size)
			continue;
		program_name(program, name);
		len += (size_t)snprintf(names + len, size - len, "%s%s", len ? ", " : "", *name ? name : "?");
	}
}

static void find_dispatcher(struct doctor *doctor, const char *interface, uint32_t id)
{
	char names[256];

	dispatched_names(id, names, sizeof(names));
	doctor_find_text(doctor, &(struct finding){FINDING_GOOD, interface, "xdp", NULL, NULL, NULL},
		"an XDP dispatcher is attached (id %u), under which several programs share the interface "
		"(agent.dispatcher)%s%s",
		id, *names ? ": " : "", names);
}

void doctor_xdp(struct doctor *doctor, const char *interface)
{
	char name[BPF_OBJ_NAME_LEN];
	uint32_t id = program_id(interface);

	if (!id)
		return;
	program_name(id, name);
	if (!*name)
		doctor_find_text(doctor,
			&(struct finding){FINDING_UNSEEN, interface, "xdp", NULL, NULL,
				"run `espalier doctor` as root to see whose it is"},
			"an XDP program is attached (id %u)", id);
	else if (strncmp(name, CLASSIFIER, strlen(CLASSIFIER)) == 0)
		doctor_find_text(doctor, &(struct finding){FINDING_GOOD, interface, "xdp", NULL, NULL, NULL},
			"Espalier's XDP program is attached (id %u)", id);
	else if (strncmp(name, DISPATCHER, strlen(name)) == 0)
		find_dispatcher(doctor, interface, id);
	else
		doctor_find_text(doctor,
			&(struct finding){FINDING_WRONG, interface, "xdp", NULL,
				"one interface runs one XDP program, unless a dispatcher runs several: it is not "
				"served",
				"detach it (ip link set dev ... xdp off), or load it through libxdp's dispatcher "
				"(xdp-loader)"},
			"the XDP program \"%s\" (id %u) of someone else is attached", name, id);
}
