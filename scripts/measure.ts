/**
 * Runs a program and measures its wall time and the peak memory of it and all its children.
 * @module
 */
import { spawn, type SpawnOptions } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface Measurement {
  readonly exitCode: number;
  readonly seconds: number;
  /** CPU seconds, user and system, of the program and the children it waited for. */
  readonly cpuSeconds: number;
  /** Greatest sum of resident set sizes of the process tree, in bytes, sampled every 50 ms. */
  readonly peakMemory: number;
}

const sampleInterval = 50;

/** Runs the program to its end, whatever its exit code. */
export async function measure(
  program: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<Measurement> {
  const cpuBefore = childCpuSeconds();
  const started = performance.now();
  const child = spawn(program, args, options);
  let peakMemory = 0;
  const timer = setInterval(() => {
    if (child.pid !== undefined) peakMemory = Math.max(peakMemory, treeMemory(child.pid));
  }, sampleInterval);
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 128));
  });
  clearInterval(timer);
  return {
    exitCode,
    seconds: (performance.now() - started) / 1000,
    cpuSeconds: childCpuSeconds() - cpuBefore,
    peakMemory,
  };
}

/** proc(5): cutime and cstime of this process, in ticks of 1/100 s. */
function childCpuSeconds(): number {
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

function treeMemory(root: number): number {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const parent = /^\d+ \(.*\) \S (\d+)/s.exec(read(`/proc/${pid}/stat`))?.[1];
    if (parent !== undefined) parents.set(pid, Number(parent));
  }
  let sum = 0;
  for (const pid of parents.keys()) {
    let ancestor: number | undefined = pid;
    while (ancestor !== undefined && ancestor !== root) ancestor = parents.get(ancestor);
    if (ancestor === root) sum += Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
  }
  return sum;
}

// A process may end between the listing and the look at it.
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
