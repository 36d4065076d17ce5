// SPDX-License-Identifier: Apache-2.0
// attack: have the kernel run a BPF program
// inside: refused EPERM
#include "probe.h"
#include <linux/bpf.h>
#include <stdint.h>
#include <sys/syscall.h>

int main(void)
{
    struct bpf_insn returns_0[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
        { .code = BPF_JMP | BPF_EXIT }
    };
    union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
                            .insns = (uintptr_t)returns_0,
                            .insn_cnt = 2,
                            .license = (uintptr_t) "GPL" };
    here();
    return outcome(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr));
}
