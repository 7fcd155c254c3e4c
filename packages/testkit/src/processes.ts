/**
 * Which processes run, from /proc: pgrep is not on every machine.
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";

/** Command lines of all processes but this one that hold `text`; arguments are joined by spaces. */
export function runningProcesses(text: string): string[] {
  const found: string[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const line = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trimEnd();
      if (line.includes(text)) found.push(line);
    } catch {
      // it has ended meanwhile
    }
  }
  return found;
}
