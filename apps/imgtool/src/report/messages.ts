/**
 * The texts that all reporters for people share.
 * @module
 */
import { formatDuration, formatSize, type ImgtoolError, type LogLevel, type ProgressUnit } from "@imgtool/core";

/** Colours are for terminals, and NO_COLOR (no-color.org) switches them off. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  yellow(text: string): string;
  green(text: string): string;
}

const plain = (text: string): string => text;
const plainStyle: Style = { bold: plain, dim: plain, red: plain, yellow: plain, green: plain };

const escape = (on: number, off: number) => (text: string) => `\u001b[${on}m${text}\u001b[${off}m`;
const colourStyle: Style = {
  bold: escape(1, 22),
  dim: escape(2, 22),
  red: escape(31, 39),
  yellow: escape(33, 39),
  green: escape(32, 39),
};

export function styleFor(stream: { readonly isTTY?: boolean }): Style {
  const noColor = process.env["NO_COLOR"];
  return stream.isTTY === true && (noColor === undefined || noColor === "") ? colourStyle : plainStyle;
}

/** `error: …` and `hint: …`, with the causes and the stack only under --debug. */
export function errorText(error: ImgtoolError, style: Style, debug: boolean): string {
  const lines = [`${style.red(style.bold("error:"))} ${error.message}`];
  if (error.hint !== undefined) lines.push(`${style.bold("hint:")} ${error.hint}`);
  if (debug) {
    lines.push(style.dim(error.stack ?? ""));
    for (let cause = error.cause; cause instanceof Error; cause = cause.cause)
      lines.push(style.dim(`caused by: ${cause.stack ?? cause.message}`));
  }
  return lines.join("\n");
}

export function logText(level: LogLevel, message: string, hint: string | undefined, style: Style): string {
  const head = level === "warning" ? `${style.yellow("warning:")} ` : "";
  return `${head}${message}${hint === undefined ? "" : `\n${style.bold("hint:")} ${hint}`}`;
}

/** An amount in the task's unit: `1.5 GiB` or `123`. */
export function amountText(amount: number, unit: ProgressUnit): string {
  return unit === "bytes" ? formatSize(amount) : String(Math.round(amount));
}

export interface FinishedTask {
  readonly label: string;
  readonly unit: ProgressUnit;
  readonly done: number;
  readonly milliseconds: number;
  readonly summary: string | undefined;
}

/** The line that stays when a task has ended: label, time, and what came of it. */
export function finishedText(task: FinishedTask): string {
  const parts = task.summary === undefined ? [] : [task.summary];
  if (task.unit === "bytes" && task.done > 0) {
    const amount = formatSize(task.done);
    if (task.summary?.includes(amount) !== true) parts.push(amount);
    if (task.milliseconds >= 100) parts.push(`${formatSize((task.done / task.milliseconds) * 1000)}/s`);
  }
  return `${task.label.padEnd(24)} ${formatDuration(task.milliseconds).padStart(9)}${parts.length === 0 ? "" : `  ${parts.join(", ")}`}`;
}
