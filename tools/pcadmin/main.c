/* pcadmin: the operator's tool. Speaks to the HTTP interface of pcached and nothing else. */
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "pcadmin_int.h"

int main(int argc, char **argv)
{
    struct args args;
    struct pc_error error;
    if (sodium_init() < 0) {
        fprintf(stderr, "pcadmin: libsodium cannot be set up\n");
        return EXIT_LOCAL_IO;
    }
    if (args_parse(argc, argv, getenv("PCADMIN_ENDPOINTS"), commands, &args, &error) != PC_OK) {
        fprintf(stderr, "pcadmin: %s\n", error.text);
        return EXIT_USAGE;
    }
    if (args.help) {
        args_print_help(stdout, commands, args.command);
        return fflush(stdout) == 0 ? EXIT_YES : EXIT_LOCAL_IO;
    }
    return args.command->run(&args);
}
