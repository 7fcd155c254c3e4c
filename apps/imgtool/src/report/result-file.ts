/**
 * `--result-file=`: the verb's result as JSON in a file, for scripts that leave the terminal's display
 * to the person.
 * @module
 */
import { writeFileSync } from "node:fs";
import type { Reporter } from "./reporter.ts";

export function withResultFile(reporter: Reporter, path: string | undefined): Reporter {
  if (path === undefined) return reporter;
  return {
    ...reporter,
    result(data, text) {
      writeFileSync(path, `${JSON.stringify(data, undefined, 2)}\n`);
      reporter.result(data, text);
    },
  };
}
