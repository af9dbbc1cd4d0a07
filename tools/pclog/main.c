#include "pclog_int.h"

int main(int argc, char **argv)
{
    return pc_pclog_run(pc_fs_posix(), argc, argv, stdout, stderr);
}
