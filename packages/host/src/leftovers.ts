/**
 * What a killed process leaves: its unfinished outputs, which can be images of gigabytes. Their names say who
 * made them, so that the next run that makes the same output removes what belongs to nobody any more.
 *
 * A process is known by its id, which means something only within its boot and its process namespace: of
 * containers that share a folder, each leaves the other's files alone. So do machines.
 * @module
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { systemErrorCode } from "@imgtool/core";

let place: string | undefined;

/** Eight digits for the boot and the process namespace; without /proc at random: nothing is ever left over then. */
function whereProcessesAreKnown(): string {
  if (place !== undefined) return place;
  let seen: string;
  try {
    seen = readFileSync("/proc/sys/kernel/random/boot_id", "latin1") + readlinkSync("/proc/self/ns/pid");
  } catch {
    seen = randomBytes(16).toString("hex");
  }
  place = createHash("sha256").update(seen).digest("hex").slice(0, 8);
  return place;
}

/** A name beside `path` that no finished output has: `.name.tmp-<place>-<process>-<random>`. */
export function temporaryName(path: string): string {
  const tag = `${whereProcessesAreKnown()}-${process.pid}-${randomBytes(6).toString("hex")}`;
  return join(dirname(path), `.${basename(path)}.tmp-${tag}`);
}

/**
 * Removes what processes that are no more have left of this output. What cannot be removed stays: it is in
 * nobody's way.
 */
export async function removeLeftovers(path: string): Promise<void> {
  const prefix = `.${basename(path)}.tmp-${whereProcessesAreKnown()}-`;
  const names = await readdir(dirname(path)).catch((): string[] => []);
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const found = /^(\d{1,10})-[0-9a-f]{12}$/.exec(name.slice(prefix.length));
    if (found === null || isRunningProcess(Number(found[1]))) continue;
    await rm(join(dirname(path), name), { recursive: true, force: true }).catch(() => {});
  }
}

/** Whether there is a process of this id, whoever's it is. */
export function isRunningProcess(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) !== "ESRCH";
  }
}
