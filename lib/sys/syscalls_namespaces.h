/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls_namespaces: what programs that make sandboxes of their own need (bubblewrap, browsers, rootless containers); for templates
 * with userNamespaces only. They are no tripwires then. */
// clang-format off
X(unshare) X(setns) X(mount) X(umount2) X(pivot_root) X(chroot) X(open_tree) X(move_mount) X(fsopen) X(fsconfig) X(fsmount) X(fspick)
X(mount_setattr) X(sethostname) X(setdomainname)
