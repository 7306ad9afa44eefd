/* SPDX-License-Identifier: Apache-2.0 */
/* espalier(8): what an operator asks of a running gateway. */
#include "tools/command.h"

int main(int argc, char *argv[])
{
	return command_main(argc, argv);
}
