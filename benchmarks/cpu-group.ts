/**
 * CPU time of everything that a program starts. What init of a process namespace reaps, as bwrap makes one, is
 * missing in the times of waited children (times(2)): a control group counts it.
 * @module
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";

export interface CpuGroup {
  /** The command that runs `command` in the group. */
  wrap(command: readonly string[]): readonly string[];
  /** CPU seconds since the group was made. */
  seconds(): number;
  remove(): void;
}

const hierarchies = [
  { folder: "/sys/fs/cgroup/cpuacct", file: "cpuacct.usage", members: "tasks", perSecond: 1e9 },
  { folder: "/sys/fs/cgroup/unified", file: "cpu.stat", members: "cgroup.procs", perSecond: 1e6 },
  { folder: "/sys/fs/cgroup", file: "cpu.stat", members: "cgroup.procs", perSecond: 1e6 },
] as const;

/** Makes a control group, of version 1 or 2. @throws Error where there are none */
export function makeCpuGroup(name: string): CpuGroup {
  for (const { folder, file, members, perSecond } of hierarchies) {
    const group = join(folder, name);
    if (!existsSync(folder)) continue;
    mkdirSync(group, { recursive: true });
    if (!existsSync(join(group, file)) || !existsSync(join(group, members))) {
      rmdirSync(group);
      continue;
    }
    const seconds = (): number => {
      const text = readFileSync(join(group, file), "utf8");
      return Number(/^(?:usage_usec )?(\d+)/.exec(text)?.[1]) / perSecond;
    };
    return {
      wrap: (command) => ["sh", "-c", `echo $$ > ${join(group, members)}; exec "$@"`, "sh", ...command],
      seconds,
      remove: () => rmdirSync(group),
    };
  }
  throw new Error("builds are measured with control groups, which this machine does not have");
}
