/* SPDX-License-Identifier: Apache-2.0 */
/* `espalier version`: ours always, the daemon's when it answers. */
#include "tools/command.h"
#include "tools/field.h"

#include <stdio.h>

int version_run(const struct options *options, size_t count, char *const args[])
{
	struct client *client = client_new(options->socket);
	json_t *daemon = NULL;

	(void)count;
	(void)args;
	if (!client)
		return EXIT_FAILED;
	client_ask(client, "/v1/version", NULL, &daemon);
	if (options->json) {
		json_t *both = json_pack("{ssso?}", "version", ESPALIER_VERSION, "daemon", daemon);

		command_print_json(both);
		json_decref(both);
	} else {
		puts("espalier " ESPALIER_VERSION);
		if (daemon)
			printf("espalier-ike %s, map layout %llu, %s\n", field_text(daemon, "version", "?"),
				(unsigned long long)field_count(daemon, "layout_version"),
				field_text(daemon, "openssl", "OpenSSL ?"));
		else
			puts("espalier-ike does not answer");
		json_decref(daemon);
	}
	client_free(client);
	return EXIT_DONE;
}
