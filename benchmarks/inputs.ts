/**
 * Inputs of the benchmarks, made from what the machine has.
 * @module
 */
import { spawnSync } from "node:child_process";

/** A tar of /usr with sorted names, cut to a size in MiB; read once, so that it is warm. */
export function makeTar(path: string, megabytes: number): string {
  const command = `tar --sort=name -cf - -C / usr 2>/dev/null | head -c ${megabytes}M >"$1"; cat "$1" >/dev/null`;
  const result = spawnSync("bash", ["-c", command, "bash", path], { stdio: ["ignore", "ignore", "inherit"] });
  if (result.status !== 0) throw new Error(`could not make ${path}`);
  return path;
}
