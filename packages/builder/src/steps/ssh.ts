/**
 * Ssh=: units by which a virtual machine offers SSH to its host alone, over VSOCK. The keys that may log in
 * are the runtime's to give, as a credential.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import { ConfigError } from "@imgtool/core";
import { pathExists } from "@imgtool/host";
import { resolveInTree } from "@imgtool/sandbox";
import { writeTreeFile } from "../tree-file.ts";

const socket = [
  "[Unit]",
  "Description=SSH for the host of this virtual machine",
  "ConditionVirtualization=!container",
  "Wants=sshd-keygen.target",
  "",
  "[Socket]",
  "ListenStream=vsock::22",
  "Accept=yes",
  "",
  "[Install]",
  "WantedBy=sockets.target",
  "",
];

const service = [
  "[Unit]",
  "Description=SSH for the host of this virtual machine",
  "After=sshd-keygen.target",
  "",
  "[Service]",
  // Images have no host keys: the first connection makes them.
  "ExecStartPre=-ssh-keygen -A",
  // With -i, PAM would look up the name of a host that VSOCK does not have, which takes long.
  "ExecStart=sshd -i -o UsePAM=no",
  "StandardInput=socket",
  "RuntimeDirectory=sshd",
  "RuntimeDirectoryPreserve=yes",
  // What ssh ends with when its connection does.
  "SuccessExitStatus=255",
  "",
];

/**
 * Writes the units, and the preset that enables them.
 * @throws ConfigError `sshd-missing`
 */
export async function configureSsh(tree: string, { ssh }: ImageConfig): Promise<void> {
  if (!ssh) return;
  const places = ["usr/sbin/sshd", "usr/bin/sshd"];
  const found = await Promise.all(
    places.map(async (path) => await pathExists(await resolveInTree(tree, path, { followLast: true }))),
  );
  if (!found.includes(true))
    throw new ConfigError("Ssh=yes, and the image has no sshd", {
      code: "sshd-missing",
      hint: "add openssh-server to Packages=",
    });
  const units = "usr/lib/systemd/system";
  await writeTreeFile(tree, `${units}/ssh.socket`, socket.join("\n"));
  await writeTreeFile(tree, `${units}/ssh@.service`, service.join("\n"));
  await writeTreeFile(tree, "usr/lib/systemd/system-preset/80-imgtool-ssh.preset", "enable ssh.socket\n");
}
