/**
 * Where standard error is no terminal: one line per finished step, nothing that moves.
 * @module
 */
import type { ImgtoolError, LogLevel, Task, TaskOptions } from "@imgtool/core";
import { errorText, finishedText, logText, styleFor } from "./messages.ts";
import type { Reporter, ReporterOptions } from "./reporter.ts";

export function lineReporter(stream: NodeJS.WriteStream, options: ReporterOptions): Reporter {
  const style = styleFor(stream);
  const say = (text: string): void => void stream.write(`${text}\n`);
  return {
    start: (task) => lineTask(task, options.quiet ? () => {} : say),
    log(level: LogLevel, message: string, hint?: string) {
      if (level === "debug" && !options.verbose) return;
      if (level === "info" && options.quiet) return;
      say(logText(level, message, hint, style));
    },
    error(error: ImgtoolError) {
      say(errorText(error, style, options.debug));
    },
    result(_data, text) {
      process.stdout.write(text === "" || text.endsWith("\n") ? text : `${text}\n`);
    },
    event(_data, text) {
      process.stdout.write(`${text}\n`);
    },
    aside: async (run) => await run(),
    close() {},
  };
}

function lineTask(options: TaskOptions, say: (text: string) => void): Task {
  const unit = options.unit ?? "items";
  const started = performance.now();
  let done = 0;
  let ended = false;
  const end = (summary: string | undefined): void => {
    if (ended) return;
    ended = true;
    say(finishedText({ label: options.label, unit, done, milliseconds: performance.now() - started, summary }));
  };
  return {
    advance(amount) {
      done += amount;
    },
    setTotal() {},
    detail() {},
    done: end,
    [Symbol.dispose]() {
      end("failed");
    },
  };
}
