/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/map_set.h"

#include "agent/base/own.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct map_shape {
	const char *name;
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
};

static const struct map_shape map_shapes[MAP_COUNT] = {
#define MAP_SHAPE(name, type, key, value) {#name, type, key, value},
	PINNED_MAPS(MAP_SHAPE)
#undef MAP_SHAPE
};

const char *map_name(enum map_id map)
{
	return map_shapes[map].name;
}

int pin_path(char path[static PIN_PATH_LEN], const char *pin_dir, const char *name)
{
	int len = snprintf(path, PIN_PATH_LEN, "%s/%s", pin_dir, name);

	return len < 0 || len >= PIN_PATH_LEN ? -ENAMETOOLONG : 0;
}

static bool map_shape_fits(const struct map_shape *shape, const struct bpf_map_info *info)
{
	return info->type == shape->type && info->key_size == shape->key_size && info->value_size == shape->value_size;
}

int map_open(const char *pin_dir, enum map_id map, bool writable, uint32_t *entries)
{
	LIBBPF_OPTS(bpf_obj_get_opts, opts, .file_flags = writable ? 0 : BPF_F_RDONLY);
	char path[PIN_PATH_LEN];
	struct bpf_map_info info = {0};
	uint32_t info_len = sizeof(info);
	OWN_FD int fd = -1;
	int err = pin_path(path, pin_dir, map_name(map));

	if (err)
		return err;
	fd = bpf_obj_get_opts(path, &opts);
	if (fd < 0)
		return fd;
	err = bpf_obj_get_info_by_fd(fd, &info, &info_len);
	if (err)
		return err;
	if (!map_shape_fits(&map_shapes[map], &info))
		return -EPROTO;
	*entries = info.max_entries;
	return TAKE_FD(fd);
}

int layout_read(const char *pin_dir, struct layout *layout)
{
	static const struct layout empty;
	uint32_t entries, zero = 0;
	OWN_FD int fd = map_open(pin_dir, MAP_layout, false, &entries);
	int err;

	memset(layout, 0, sizeof(*layout));
	if (fd < 0)
		return fd;
	err = bpf_map_lookup_elem(fd, &zero, layout);
	if (err)
		return err;
	if (memcmp(layout, &empty, sizeof(empty)) == 0)
		return -ENOENT;
	return layout->magic == LAYOUT_MAGIC && layout->version == LAYOUT_VERSION ? 0 : -EPROTO;
}
