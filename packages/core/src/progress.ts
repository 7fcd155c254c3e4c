/**
 * Progress is an object that callers hand in. Libraries report to it and never print; the command
 * line draws it as bars, lines or NDJSON.
 * @module
 */

export type ProgressUnit = "bytes" | "items";
export type LogLevel = "debug" | "info" | "warning";

export interface TaskOptions {
  /** What is being done, in a few words: "install packages". */
  readonly label: string;
  /** What `total` and `advance` count. Default "items". */
  readonly unit?: ProgressUnit;
  /** The amount that completes the task, where it is known beforehand. */
  readonly total?: number;
}

/**
 * A piece of work under way. It ends with `done`; a task that is disposed before that has failed,
 * so `using task = progress.start(…)` reports a throw without a catch block.
 */
export interface Task extends Disposable {
  /** Adds to what is done; `amount` in the task's unit. */
  advance(amount: number): void;
  /** Sets or corrects the total. */
  setTotal(total: number): void;
  /** Shows what is being worked on now: a file or package name. */
  detail(text: string): void;
  /** Ends the task; `summary` says in a few words what came of it. */
  done(summary?: string): void;
}

export interface Progress {
  /** Begins a task. Tasks that are open at the same time are shown together. */
  start(options: TaskOptions): Task;
  /** A message for the person at the terminal; `hint` as in ImgtoolError. */
  log(level: LogLevel, message: string, hint?: string): void;
}

const silentTask: Task = {
  advance() {},
  setTotal() {},
  detail() {},
  done() {},
  [Symbol.dispose]() {},
};

/** Reports nothing. The default of every library function. */
export const silentProgress: Progress = {
  start: () => silentTask,
  log() {},
};
