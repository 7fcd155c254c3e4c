/**
 * NDJSON events on standard output for programs (docs/json-events.md): task-start, task-progress at
 * most five times a second, task-end, log, result, and error as the last line with its exit code.
 * @module
 */
import type { ImgtoolError, Task, TaskOptions } from "@imgtool/core";
import type { Reporter, ReporterOptions } from "./reporter.ts";

const progressInterval = 200;

export function jsonReporter(stream: NodeJS.WritableStream, options: ReporterOptions): Reporter {
  const emit = (event: Readonly<Record<string, unknown>>): void => void stream.write(`${JSON.stringify(event)}\n`);
  let tasks = 0;
  return {
    start: (task) => jsonTask(++tasks, task, emit),
    log(level, message, hint) {
      if (level === "debug" && !options.verbose) return;
      emit({ type: "log", level, message, hint });
    },
    error(error: ImgtoolError, exitCode: number) {
      const { name, message, code, hint, data } = error;
      emit({
        type: "error",
        name,
        code,
        message,
        hint,
        data,
        exitCode,
        ...(options.debug ? { stack: error.stack } : {}),
      });
    },
    result(data) {
      emit({ type: "result", ...data });
    },
    event: (data) => emit(data),
    aside: async (run) => await run(),
    close() {},
  };
}

function jsonTask(id: number, options: TaskOptions, emit: (event: Readonly<Record<string, unknown>>) => void): Task {
  const unit = options.unit ?? "items";
  const started = performance.now();
  let { total } = options;
  let done = 0;
  let detail: string | undefined;
  let last = started;
  let ended = false;
  emit({ type: "task-start", task: id, label: options.label, unit, total });
  const tick = (): void => {
    const now = performance.now();
    if (ended || now - last < progressInterval) return;
    last = now;
    emit({ type: "task-progress", task: id, done, total, detail });
  };
  const end = (ok: boolean, summary: string | undefined): void => {
    if (ended) return;
    ended = true;
    emit({
      type: "task-end",
      task: id,
      label: options.label,
      ok,
      done,
      total,
      milliseconds: Math.round(performance.now() - started),
      summary,
    });
  };
  return {
    advance(amount) {
      done += amount;
      tick();
    },
    setTotal(amount) {
      total = amount;
    },
    detail(text) {
      detail = text;
      tick();
    },
    done(summary) {
      end(true, summary);
    },
    [Symbol.dispose]() {
      end(false, undefined);
    },
  };
}
