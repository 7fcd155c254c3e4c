import { ConfigError } from "@imgtool/core";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { jsonReporter } from "./json.ts";
import { lineReporter } from "./lines.ts";
import { runningText } from "./terminal.ts";

const options = { json: false, quiet: false, verbose: false, debug: false };

function capture(): { stream: NodeJS.WriteStream; text: () => string } {
  const stream = new PassThrough();
  let text = "";
  stream.on("data", (part: Buffer) => (text += part.toString("utf8")));
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

test("off a terminal: one line per finished step, none while it runs", () => {
  const { stream, text } = capture();
  const reporter = lineReporter(stream, options);
  const task = reporter.start({ label: "pack", unit: "bytes", total: 10 });
  task.advance(5);
  expect(text()).toBe("");
  task.done("half of it");
  task[Symbol.dispose]();
  expect(text().split("\n")).toHaveLength(2);
  expect(text()).toMatch(/^pack\s+\d\.\d\d s {2}half of it, 5 B\n$/);
});

test("a task that is disposed before it is done has failed", () => {
  const { stream, text } = capture();
  {
    using task = lineReporter(stream, options).start({ label: "pack" });
    task.advance(1);
  }
  expect(text()).toContain("failed");
});

test("errors are followed by their hint, without a stack", () => {
  const { stream, text } = capture();
  lineReporter(stream, options).error(new ConfigError("bad value", { hint: "write a better one" }), 2);
  expect(text()).toBe("error: bad value\nhint: write a better one\n");
});

test("JSON events are one object a line, the error last with its exit code", () => {
  const { stream, text } = capture();
  const reporter = jsonReporter(stream, options);
  const task = reporter.start({ label: "pack", total: 2 });
  task.advance(2);
  task.done("ok");
  reporter.result({ answer: 42 }, "42");
  reporter.error(new ConfigError("bad", { data: { line: 3 } }), 2);
  const events = text()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(events.map((event) => event["type"])).toEqual(["task-start", "task-end", "result", "error"]);
  expect(events[1]).toMatchObject({ task: 1, ok: true, done: 2, total: 2, summary: "ok" });
  expect(events[3]).toMatchObject({ code: "config-invalid", exitCode: 2, data: { line: 3 } });
});

test("a running task shows bar, amounts, remaining time and rate", () => {
  const task = {
    label: "chunk",
    unit: "bytes" as const,
    started: 0,
    total: 4 * 1024 ** 2,
    done: 1024 ** 2,
    detail: "image.raw",
  };
  expect(runningText(task, "*", 2000, 119)).toBe(
    `* ${"chunk".padEnd(24)} ██████░░░░░░░░░░░░░░░░░░  25% 1 MiB/4 MiB 512 KiB/s 6.00 s left image.raw`,
  );
});

test("on any terminal the line fits, and says how far it is and how long it takes", () => {
  const task = {
    label: "download packages",
    unit: "bytes" as const,
    started: 0,
    total: 1023 * 1024 ** 2,
    done: 1022.5 * 1024,
    detail: "a-package_with-a-long-name_1.0-1_all.deb",
  };
  const text = (width: number): string => runningText({ ...task, done: task.total / 2 }, "*", 600_000, width);
  for (let width = 20; width < 200; width++) {
    expect(text(width).length).toBeLessThanOrEqual(width);
    expect(runningText(task, "*", 600_000, width).length).toBeLessThanOrEqual(width);
  }
  for (const width of [79, 99, 119]) expect(text(width)).toMatch(/ 50% \S+ MiB\/1023 MiB \S+ KiB\/s 10 min 00 s left/);
  for (const width of [39, 59]) expect(text(width)).toMatch(/ 50% .*10 min 00 s left/);
  expect(runningText({ ...task, unit: "items", total: 91, done: 13 }, "*", 10_000, 79)).toContain(
    "13/91 1.3/s 1 min 00 s left",
  );
});
