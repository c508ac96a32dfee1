// Renders the pages of comparisons in a real Chromium: light and dark, narrow and
// wide. Each page must have no violation of axe-core, no error in the console and
// no request; the drill-down must work by keyboard. Screenshots are for people.
//
//   node check.mjs MODULES PAGES SHOTS
//
// MODULES is the folder into which npm has installed package.json, PAGES that of
// the golden pages, SHOTS where screenshots go.
import { createRequire } from "node:module";
import { readdirSync, readFileSync, mkdirSync, existsSync } from "node:fs";
import { join, resolve, basename } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, pages, shots] = process.argv.slice(2).map(p => resolve(p));
const require = createRequire(join(modules, "package.json"));
const puppeteer = require("puppeteer-core").default ?? require("puppeteer-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const failures = [];
const fail = (where, what) => { failures.push(`${where}: ${what}`); console.error(`FAIL ${where}: ${what}`); };
const check = (where, ok, what) => { if (!ok) fail(where, what); };

function chromium() {
  const names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
  const found = [process.env.CHROMIUM, ...(process.env.PATH ?? "").split(":").flatMap(dir => names.map(n => join(dir, n)))].find(p => p && existsSync(p));
  if (!found) {
    console.error("make test-report: no Chromium found; install one (chromium, google-chrome) or name it in CHROMIUM");
    process.exit(1);
  }
  return found;
}

// open loads a page and watches what it does.
async function open(browser, file, where, { width, scheme, scripts = true }) {
  const page = await browser.newPage();
  const url = pathToFileURL(file).href;
  page.on("console", m => { if (["error", "warn"].includes(m.type())) fail(where, `console: ${m.text()}`); });
  page.on("pageerror", e => fail(where, `script: ${e.message}`));
  page.on("request", r => { if (r.url() !== url) fail(where, `requests ${r.url()}`); });
  await page.setJavaScriptEnabled(scripts);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }, { name: "prefers-reduced-motion", value: "reduce" }]);
  await page.setViewport({ width, height: 900 });
  await page.goto(url, { waitUntil: "load" });
  return page;
}

// axe runs in a world of its own, which the page's policy for scripts leaves alone.
async function axe(page, where) {
  const client = await page.createCDPSession();
  const { frameTree } = await client.send("Page.getFrameTree");
  const { executionContextId } = await client.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
  const run = async expression => {
    const { result, exceptionDetails } = await client.send("Runtime.evaluate", { expression, contextId: executionContextId, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  await run(axeSource + "; true");
  const found = await run(`axe.run(document, { resultTypes: ["violations", "incomplete"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })
    .then(r => ({ passes: r.passes.length, violations: r.violations.map(v => v.id + " (" + v.impact + "): " + v.help + "\\n    " + v.nodes.slice(0, 5).map(n => n.target.join(" ") + " — " + n.failureSummary.replace(/\\s+/g, " ")).join("\\n    ")) }))`);
  check(where, found.passes > 10, `axe-core ran only ${found.passes} rules`);
  found.violations.forEach(v => fail(where, `axe-core: ${v}`));
  await client.detach();
  return found.passes;
}

const overflow = page => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
const shown = page => page.$$eval("#samples > li", rows => rows.filter(r => !r.hidden).length);
const active = page => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent?.trim() ?? "");
const text = (page, selector) => page.$eval(selector, e => e.textContent.trim());

// tabTo presses Tab until the focused element is one that the selector finds.
async function tabTo(page, selector) {
  for (let i = 0; i < 400; i++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(s => document.activeElement?.matches(s), selector)) return true;
  }
  return false;
}

// drill tries everything that a page with samples does, with the keyboard alone.
async function drill(page, where) {
  const all = await shown(page);
  check(where, all > 2, `${all} samples are shown at first`);

  check(where, await tabTo(page, ".heatcell"), "Tab does not reach the heat map");
  const first = await active(page);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  check(where, await active(page) !== first, "arrows do not move within the heat map");
  await page.keyboard.press("Enter");
  const cell = await shown(page);
  check(where, cell < all, `a cell of the heat map filters nothing: ${cell} of ${all} samples`);
  check(where, (await text(page, "#f-chosen")).includes(await active(page)), "the chosen cell is not named");
  await page.keyboard.press("Enter");
  check(where, await shown(page) === all, "a cell chosen twice still filters");

  check(where, await tabTo(page, 'button.inline[aria-pressed]'), "Tab does not reach the worst windows");
  await page.keyboard.press("Space");
  const byWindow = await shown(page);
  check(where, byWindow > 0 && byWindow < all, `the worst window filters ${byWindow} of ${all} samples`);
  let origin = false;
  for (let i = 0; i < 40 && !origin; i++) {
    await page.keyboard.press("Tab");
    origin = await active(page) === "ORD";
  }
  check(where, origin, "Tab does not reach the worst values of a segment");
  await page.keyboard.press("Space");
  const bySegment = await shown(page);
  check(where, bySegment > 0 && bySegment < all, `a value of a segment filters ${bySegment} of ${all} samples`);
  check(where, await page.$eval("[aria-pressed=true]", e => e.textContent.trim()) === "ORD", "another button is pressed");

  check(where, await tabTo(page, "#f-text"), "Tab does not reach the search");
  await page.keyboard.type("no such thing");
  check(where, await shown(page) === 0, "a text that no sample has filters nothing");
  check(where, (await text(page, "#f-count")).startsWith("0 of"), "the count is not told");
  check(where, await tabTo(page, "#f-clear"), "Tab does not reach Show all");
  await page.keyboard.press("Enter");
  check(where, await shown(page) === all, "Show all does not show all");
  await page.select("#f-class", "extra");
  check(where, await shown(page) === 1, "the class filters wrongly");
  await page.select("#f-class", "");

  check(where, await tabTo(page, "#samples summary"), "Tab does not reach a sample");
  await page.keyboard.press("Enter");
  check(where, await page.$eval("#samples details", e => e.open), "Enter does not open a sample");
  check(where, await tabTo(page, "#samples .copy"), "Tab does not reach the copy button");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("copied").textContent === "SQL copied", { timeout: 5000 });
  const pasted = await page.evaluate(() => {
    const area = document.createElement("textarea");
    document.body.append(area);
    area.focus();
    document.execCommand("paste");
    const got = area.value;
    area.remove();
    return got;
  });
  const sql = await page.$eval("#samples pre.sql", e => e.textContent);
  check(where, pasted === "" || pasted === sql, "something else than the SQL was copied");
  return cell;
}

async function look(browser, file, width, scheme) {
  const name = basename(file, ".html");
  const where = `${name} ${scheme} ${width}`;
  const page = await open(browser, file, where, { width, scheme });
  const passes = await axe(page, where);
  const beyond = await overflow(page);
  check(where, beyond <= 0, `the page is ${beyond} px wider than the screen`);
  await page.screenshot({ path: join(shots, `${name}-${scheme}-${width}.png`), fullPage: true });
  if (await page.$("#samples")) {
    await drill(page, where);
    await page.$$eval("details", all => all.forEach(d => { d.open = true; }));
    await axe(page, where + " opened");
    check(where, await overflow(page) <= 0, "the opened page is wider than the screen");
    await page.screenshot({ path: join(shots, `${name}-${scheme}-${width}-opened.png`), fullPage: true });
  }
  await page.close();
  console.log(`${where}: ${passes} rules of axe-core hold`);
}

async function withoutScripts(browser, file) {
  const where = basename(file, ".html") + " without scripts";
  const page = await open(browser, file, where, { width: 1000, scheme: "light", scripts: false });
  const client = await page.createCDPSession();
  const { root } = await client.send("DOM.getDocument", { depth: -1 });
  const count = async selector => (await client.send("DOM.querySelectorAll", { nodeId: root.nodeId, selector })).nodeIds.length;
  check(where, await count(".tools:not([hidden])") === 0, "filters are shown that do nothing");
  check(where, await count("button.copy, [role=button]") === 0, "buttons are shown that do nothing");
  await page.close();
}

async function print(browser, file) {
  const page = await open(browser, file, "print", { width: 1000, scheme: "dark" });
  await page.pdf({ path: join(shots, basename(file, ".html") + ".pdf"), format: "A4", margin: { top: "12mm", bottom: "12mm", left: "12mm", right: "12mm" } });
  await page.emulateMediaType("print");
  const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  check("print", background === "rgb(255, 255, 255)", `paper is ${background} for a reader of dark pages`);
  await page.close();
}

mkdirSync(shots, { recursive: true });
const files = readdirSync(pages).filter(f => f.endsWith(".html")).map(f => join(pages, f));
if (!files.length) {
  console.error(`make test-report: no pages in ${pages}`);
  process.exit(1);
}
const browser = await puppeteer.launch({
  executablePath: chromium(), headless: true, timeout: 60_000,
  args: ["--disable-gpu", "--force-color-profile=srgb", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])],
});
try {
  for (const file of files) {
    for (const scheme of ["light", "dark"]) for (const width of [400, 1400]) await look(browser, file, width, scheme);
    await withoutScripts(browser, file);
    await print(browser, file);
  }
} catch (e) {
  fail("driver", e.stack);
} finally {
  await browser.close();
}
console.log(`\nscreenshots in ${shots}\n${files.length} pages, ${failures.length} failures`);
process.exit(failures.length ? 1 : 0);
