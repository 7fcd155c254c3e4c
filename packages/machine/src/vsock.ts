/**
 * VSOCK: whether a machine gets it, and its number.
 * @module
 */
import { createHash, randomInt } from "node:crypto";
import type { RuntimeConfig } from "@imgtool/config";
import { EnvironmentError } from "@imgtool/core";
import { pathExists } from "@imgtool/host";

const device = "/dev/vhost-vsock";

/** 0 to 2 are the hypervisor, the loopback and the host, and the last number means any. */
const first = 3;
const numbers = 0xffffffff - first;

/**
 * The guest's number, or undefined where it gets none: with VSock=auto where this machine has no
 * vhost_vsock. QEMU refuses a number that is in use.
 * @throws EnvironmentError `vsock-missing`
 */
export async function chooseVsock(
  { vsock, vsockConnection }: Pick<RuntimeConfig, "vsock" | "vsockConnection">,
  imagePath: string,
): Promise<number | undefined> {
  if (vsock === "disabled") return undefined;
  if (await pathExists(device)) return vsockNumber(vsockConnection, imagePath);
  if (vsock === "auto") return undefined;
  throw new EnvironmentError(`VSock=yes needs ${device}, which is not there`, {
    code: "vsock-missing",
    hint: "modprobe vhost_vsock",
  });
}

/** "hash" is the same number for the same image, "auto" a random one. */
export function vsockNumber(connection: RuntimeConfig["vsockConnection"], imagePath: string): number {
  if (typeof connection === "number") return connection;
  if (connection === "auto") return randomInt(first, first + numbers);
  return first + (createHash("sha256").update(imagePath).digest().readUInt32BE() % numbers);
}
