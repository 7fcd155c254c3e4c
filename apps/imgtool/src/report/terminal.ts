/**
 * The live display of a terminal: finished steps stay as lines, running ones are drawn below them
 * with a bar, the rate and the time that remains, ten times a second.
 * @module
 */
import { formatDuration, formatSize, type Task, type TaskOptions } from "@imgtool/core";
import { createLogUpdate } from "log-update";
import { amountText, errorText, finishedText, logText, styleFor } from "./messages.ts";
import type { Reporter, ReporterOptions } from "./reporter.ts";

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const interval = 100;

interface RunningTask {
  readonly label: string;
  readonly unit: "bytes" | "items";
  readonly started: number;
  total: number | undefined;
  done: number;
  detail: string;
}

export function terminalReporter(stream: NodeJS.WriteStream, options: ReporterOptions): Reporter {
  const style = styleFor(stream);
  const live = createLogUpdate(stream, { showCursor: true });
  const running = new Set<RunningTask>();
  let frame = 0;

  let isAside = false;

  const draw = (): void => {
    if (isAside) return;
    const width = Math.max(20, (stream.columns ?? 80) - 1);
    const lines = [...running].map((task) =>
      runningText(task, frames[frame % frames.length] ?? "", performance.now(), width),
    );
    live(lines.join("\n"));
  };
  // Messages are printed above the running tasks, which are drawn again below them.
  const keep = (text: string): void => {
    live.clear();
    stream.write(`${text}\n`);
    if (running.size > 0) draw();
  };
  const timer = setInterval(() => {
    frame++;
    if (running.size > 0) draw();
  }, interval);
  timer.unref();

  const end = (task: RunningTask, ok: boolean, summary: string | undefined): void => {
    if (!running.delete(task)) return;
    const text = finishedText({ ...task, milliseconds: performance.now() - task.started, summary });
    keep(`${ok ? style.green("✔") : style.red("✘")} ${text}`);
  };

  return {
    start(taskOptions) {
      const task = begin(taskOptions);
      running.add(task);
      return handle(task, end);
    },
    log(level, message, hint) {
      if (level === "debug" && !options.verbose) return;
      keep(logText(level, message, hint, style));
    },
    error(error) {
      keep(errorText(error, style, options.debug));
    },
    result(_data, text) {
      live.clear();
      process.stdout.write(text === "" || text.endsWith("\n") ? text : `${text}\n`);
    },
    event(_data, text) {
      live.clear();
      process.stdout.write(`${text}\n`);
    },
    async aside(run) {
      live.clear();
      isAside = true;
      try {
        return await run();
      } finally {
        isAside = false;
      }
    },
    close() {
      clearInterval(timer);
      live.clear();
      live.done();
    },
  };
}

function begin(options: TaskOptions): RunningTask {
  return {
    label: options.label,
    unit: options.unit ?? "items",
    started: performance.now(),
    total: options.total,
    done: 0,
    detail: "",
  };
}

function handle(task: RunningTask, end: (task: RunningTask, ok: boolean, summary: string | undefined) => void): Task {
  return {
    advance(amount) {
      task.done += amount;
    },
    setTotal(total) {
      task.total = total;
    },
    detail(text) {
      task.detail = text.replaceAll(/[^\u0020-\u007e\u00a0-\uffff]/g, "?");
    },
    done(summary) {
      end(task, true, summary);
    },
    [Symbol.dispose]() {
      end(task, false, "failed");
    },
  };
}

/**
 * One running task as a line of at most `width` columns: label, bar, percentage, amounts, rate,
 * remaining time, detail. What matters least goes first where there is no room.
 */
export function runningText(task: RunningTask, spinner: string, now: number, width: number): string {
  const elapsed = now - task.started;
  const share = task.total !== undefined && task.total > 0 ? Math.min(1, task.done / task.total) : undefined;
  const { label, bar } = columns(width);
  const head = `${spinner} ${task.label.padEnd(label)}`;
  const percent = share === undefined ? "" : `${Math.floor(share * 100)}%`.padStart(4);
  const remaining =
    share === undefined
      ? formatDuration(elapsed)
      : share > 0.01 && share < 1 && elapsed > 1000
        ? `${formatDuration((elapsed / share) * (1 - share))} left`
        : "";
  const facts = [
    share === undefined ? "" : barText(share, bar),
    percent,
    amounts(task),
    rateText(task, elapsed),
    remaining,
  ];
  // Amounts, then the rate, then the bar: how far and how long are what a person waits for.
  for (const least of [2, 3, 0]) if (joined(head, facts).length > width) facts[least] = "";
  const excess = Math.max(0, joined(head, facts).length - width);
  return joined(head.slice(0, head.length - excess), [...facts, task.detail]).slice(0, width);
}

/** Columns of the label and of the bar on a terminal of so many columns. */
function columns(width: number): { readonly label: number; readonly bar: number } {
  if (width >= 100) return { label: 24, bar: 24 };
  return width >= 70 ? { label: 18, bar: 8 } : { label: 0, bar: 6 };
}

function joined(head: string, facts: readonly string[]): string {
  return [head, ...facts].filter((fact) => fact !== "").join(" ");
}

function barText(share: number, width: number): string {
  const full = Math.round(share * width);
  return `${"█".repeat(full)}${"░".repeat(width - full)}`;
}

function amounts({ done, total, unit }: RunningTask): string {
  if (total !== undefined && total > 0) return `${amountText(done, unit)}/${amountText(total, unit)}`;
  return done > 0 ? amountText(done, unit) : "";
}

function rateText({ done, unit }: RunningTask, elapsed: number): string {
  if (done === 0 || elapsed <= 500) return "";
  const rate = (done / elapsed) * 1000;
  return `${unit === "bytes" ? formatSize(rate) : rate.toPrecision(2)}/s`;
}
