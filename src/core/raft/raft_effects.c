#include "raft_int.h"

#include <stdlib.h>

void pc_raft_msg_clear(struct pc_raft_msg *msg)
{
    pc_entries_clear(&msg->entries);
}

void pc_raft_effects_clear(struct pc_raft_effects *effects)
{
    for (size_t i = 0; i < effects->msgs_n; i++) {
        pc_raft_msg_clear(&effects->msgs[i]);
    }
    for (size_t i = 0; i < effects->writes_n; i++) {
        pc_entries_clear(&effects->writes[i].entries);
    }
    effects->msgs_n = 0;
    effects->writes_n = 0;
    effects->reads_n = 0;
    effects->loads_n = 0;
    effects->snapshots_n = 0;
}

void pc_raft_effects_destroy(struct pc_raft_effects *effects)
{
    pc_raft_effects_clear(effects);
    free(effects->msgs);
    free(effects->writes);
    free(effects->reads);
    free(effects->loads);
    free(effects->snapshots);
    *effects = (struct pc_raft_effects){0};
}
