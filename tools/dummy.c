/* SPDX-License-Identifier: Apache-2.0 */
/* `espalier dummy`: packets that the other end throws away (RFC 4303 2.6). */
#include "tools/command.h"
#include "tools/field.h"

#include <stdio.h>

int dummy_run(const struct options *options, size_t count, char *const args[])
{
	struct client *client = client_new(options->socket);
	json_t *body, *answer = NULL;
	enum client_result asked;
	char names[4096];
	int result;

	if (!client)
		return EXIT_FAILED;
	body = json_pack("{s:s, s:i, s:i}", "connection", args[0], "count", (int)options->count, "size",
		(int)options->size_bytes);
	if (count > 1)
		json_object_set_new(body, "child", json_string(args[1]));
	asked = client_ask(client, "/v1/dummy", body, &answer);
	result = asked == CLIENT_OK ? EXIT_DONE : command_client_failed(client, asked);
	if (result == EXIT_DONE && options->json)
		command_print_json(answer);
	else if (result == EXIT_DONE)
		printf("asked for: %u each by %s; the other end counts them as DUMMY\n", options->count,
			field_join(answer, "children", names, sizeof(names)));
	json_decref(answer);
	json_decref(body);
	client_free(client);
	return result;
}
