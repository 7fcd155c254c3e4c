/**
 * `imgtool vm` (`qemu`): runs the image in a virtual machine, and ends with the guest's status.
 * @module
 */
import type { Command } from "commander";
import { runCommand, runnableProject } from "../run-project.ts";
import { runVerb } from "../verb.ts";

export function command(): Command {
  const project = runCommand(
    "vm",
    "Run the image in a virtual machine with QEMU, and end with the guest's status.",
    "further arguments of QEMU, after --",
  );
  const { command: vm } = project;
  return vm.action(() =>
    runVerb(vm, async (context) => {
      const { reporter, signal } = context;
      const { image, runtime } = await runnableProject(project, context);
      const machines = await import("@imgtool/machine");
      await using plan = await machines.planMachine(image, runtime, {
        progress: reporter,
        signal,
        extraArguments: vm.args,
      });
      const terminal = runtime.console === "native" && process.stdin.isTTY;
      const machine = await machines.startMachine({ ...plan.options, console: terminal ? "terminal" : "pipes" });
      await using _ = await machines.announceMachine({
        name: plan.options.name,
        machine,
        key: runtime.sshKey,
        vsock: runtime.ssh ? plan.options.vsockConnection : undefined,
        progress: reporter,
      });
      // Under --json standard output is for events.
      const output = vm.opts<{ readonly json?: boolean }>().json === true ? process.stderr : process.stdout;
      const status = terminal
        ? await machine.ended
        : runtime.console === "read-only"
          ? await machines.showConsole(machine, output)
          : await machines.attachConsole(machine, { input: process.stdin, output });
      reporter.result({ status }, "");
      process.exitCode = status;
    }),
  );
}
