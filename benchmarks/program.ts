/**
 * The program that is measured.
 * @module
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The program as it is published, and as whoever installs it runs it: bundled, beside the native modules.
 * @param work folder for it; returns its path there
 */
export function buildProgram(work: string): string {
  const root = join(import.meta.dirname, "..");
  const app = join(root, "apps/imgtool");
  const built = spawnSync(join(root, "node_modules/.bin/rolldown"), ["--config", "rolldown.config.ts"], {
    cwd: app,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (built.status !== 0) throw new Error(`the bundle could not be made: rolldown exited with ${built.status}`);
  const program = join(work, "imgtool");
  const script = `#!/bin/sh\nexec "${process.execPath}" "${join(app, "dist/main.js")}" "$@"\n`;
  writeFileSync(program, script, { mode: 0o755 });
  // Node.js keeps what it makes of the code, as bin/imgtool asks it to.
  process.env["NODE_COMPILE_CACHE"] = join(work, "node");
  return program;
}
