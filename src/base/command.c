#include "pcache/command.h"

#include "pcache/assert.h"

bool pc_condition_holds(const struct pc_command *command, pc_index version)
{
    switch (command->condition) {
    case PC_IF_ANY:
        return true;
    case PC_IF_VERSION:
        PC_ASSERT(command->if_version > 0); /* 0 would be the version of what is not there */
        return version == command->if_version;
    case PC_IF_ABSENT:
        return version == 0;
    case PC_IF_PRESENT:
        return version != 0;
    }
    PC_ASSERT(command->condition == PC_IF_ANY);
    return false;
}
