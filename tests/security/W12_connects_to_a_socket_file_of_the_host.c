// SPDX-License-Identifier: Apache-2.0
// attack: connect to the sockets that make whoever has them root: of the warden, Docker, D-Bus, the display
// args outside: {run_dir}
// args inside: {run_dir}
// control: got through to .*warden.*
// inside: refused ENOENT for all 8
#include "probe.h"
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
    static const char *const path[] = { "warden.sock",
                                        "/var/run/docker.sock",
                                        "/run/containerd/containerd.sock",
                                        "/run/dbus/system_bus_socket",
                                        "/run/systemd/private",
                                        "/tmp/.X11-unix/X0",
                                        "/run/firebreak/warden.sock",
                                        "/run/podman/podman.sock" };
    int refused = 0;
    must(argc == 2, "know the directory");
    here();
    for (size_t i = 0; i < sizeof path / sizeof *path; i++) {
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, i == 0 ? SOCK_SEQPACKET : SOCK_STREAM, 0);
        must(fd >= 0, "make a socket");
        snprintf(to.sun_path, sizeof to.sun_path, "%s%s%s", i == 0 ? argv[1] : "",
                 i == 0 ? "/" : "", path[i]);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
            return say("got through to %s", to.sun_path);
        refused += errno == ENOENT;
        close(fd);
    }
    return say("refused ENOENT for all %d", refused);
}
