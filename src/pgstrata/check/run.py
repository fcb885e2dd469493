"""One run of ``check``: all rules over the environments."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pgstrata.check import excerpts, ignores, unread
from pgstrata.check.registry import EXPLANATIONS, RULES
from pgstrata.check.report import Coverage, Report, ordered, some
from pgstrata.check.scope import Found, Project, Rule, Unknown
from pgstrata.errors import ConfigError, EnvironmentNotFoundError, InvalidConfigError
from pgstrata.model import Config, Finding, Severity
from pgstrata.rules import RULES as LOADING
from pgstrata.validation import file_problems

FILE_RULES = ("file-missing", "file-permissions")


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked of a run. Empty ``only`` means every rule; ``complete``, every environment of
    the project.
    """

    only: Collection[str] = ()
    without: Collection[str] = ()
    files: bool = True
    complete: bool = True

    def wants(self, rule: str) -> bool:
        """Tell whether a rule is asked for."""
        return rule not in self.without and (not self.only or rule in self.only)


@dataclass
class _Run:
    selection: Selection
    findings: list[Finding] = field(default_factory=list)
    unknown: dict[str, dict[str, None]] = field(default_factory=dict)
    unsure: set[tuple[str, str]] = field(default_factory=set)

    def rule(self, rule: Rule, project: Project) -> None:
        seen: set[tuple[object, ...]] = set()
        for found in rule.find(project):
            if isinstance(found, Unknown):
                self.skip(f"{rule.id}: {found.why}", found.environment)
                self.unsure.add((rule.id, found.environment))
                continue
            # A connection that inherits a value would say the same of it once more.
            same = (found.environment, found.origin, found.message)
            if same not in seen:
                seen.add(same)
                self.findings.append(_finding(rule, found))

    def skip(self, what: str, environment: str = "") -> None:
        self.unknown.setdefault(what, {})[environment] = None

    def said(self) -> tuple[str, ...]:
        return tuple(
            f"{what} ({some(list(filter(None, names)))})" if any(names) else what
            for what, names in self.unknown.items()
        )


def check(
    results: Mapping[str, Config | ConfigError],
    project: Path,
    environ: Mapping[str, str],
    *,
    selection: Selection | None = None,
    rules: Iterable[Rule] = RULES,
    fail_on: Severity | None = "error",
) -> Report:
    """Run all rules that are asked for over the loaded environments.

    ``results`` is what ``load_many`` gives. Raises what is in it, other than the errors of files
    that can be shown as findings. Rules that compare environments are run only on all of a
    project's.
    """
    selection = selection or Selection()
    run = _Run(selection)
    configs = [result for result in results.values() if isinstance(result, Config)]
    broken = list(_broken(results))
    failed = [name for name, result in results.items() if not isinstance(result, Config)]
    scope = Project(configs, environ, complete=selection.complete, unread=failed)
    ran = _rules(run, scope, rules if configs else ())
    run.findings += _loading(configs, run)
    partial = [
        result.partial for result in results.values() if isinstance(result, InvalidConfigError)
    ]
    run.findings += _files([*configs, *filter(None, partial)], run)
    run.findings += _unread(project, results, selection)
    missing = [n for n, result in results.items() if isinstance(result, EnvironmentNotFoundError)]
    for name in missing:
        run.skip("there is no such environment", name)
    for name, _ in broken:
        run.skip("it cannot be loaded, so only that was checked", name)
    sources = excerpts.Sources(project)
    read = [
        ignores.read(source, sources.text(source)) for source in _sources(run, sources, results)
    ]
    written = [ignore for own, _ in read for ignore in own]
    counted, ignored = ignores.split(run.findings, written)
    own = [finding for _, wrong in read for finding in wrong]
    own += ignores.unknown(written, EXPLANATIONS)
    if (
        selection.complete
        and selection.files
        and not (broken or selection.only or selection.without)
    ):
        own += ignores.unused(written, [ignore for _, ignore in ignored], EXPLANATIONS)
    counted += [
        replace(finding, environment=_owner(finding, results))
        for finding in own
        if selection.wants(finding.rule)
    ]
    counted += [finding for _, findings in broken for finding in findings]
    return Report(
        project=project,
        environments=tuple(results),
        broken=frozenset(name for name, _ in broken),
        missing=frozenset(missing),
        findings=ordered(sources.with_excerpts(counted)),
        ignored=tuple(ignored),
        ran=ran,
        unknown=run.said(),
        fail_on=fail_on,
        coverage=_coverage(run, scope, ran),
    )


def _coverage(run: _Run, project: Project, ran: Iterable[str]) -> Coverage:
    """Return what was looked at. A rule that compares looked at nothing if it lacked a part."""
    own = unread.RULES if project.complete else ()
    rules = {rule for rule in (*LOADING, *ignores.RULES, *own) if run.selection.wants(rule)}
    if not run.selection.files:
        rules.difference_update(FILE_RULES)
    unsure = {rule for rule, _ in run.unsure}
    partly = {rule.id for rule in RULES if rule.compares and (project.unread or rule.id in unsure)}
    return Coverage(
        rules=frozenset(rules.union(ran) - partly),
        environments=frozenset(config.environment for config in project.configs),
        complete=project.complete,
        unread=frozenset(project.unread),
        unknown=frozenset(run.unsure),
    )


def _rules(run: _Run, project: Project, rules: Iterable[Rule]) -> tuple[str, ...]:
    ran = []
    for rule in rules:
        if not run.selection.wants(rule.id):
            continue
        if rule.compares and not project.complete:
            run.skip("rules that compare environments; --all runs them")
        elif rule.files and not run.selection.files:
            run.skip("the files that connections need (--skip-files)")
        else:
            run.rule(rule, project)
            ran.append(rule.id)
    return tuple(ran)


def _loading(configs: Iterable[Config], run: _Run) -> Iterator[Finding]:
    """Yield the warnings of loading."""
    for config in configs:
        yield from (finding for finding in config.findings if run.selection.wants(finding.rule))


def _partial(results: Mapping[str, Config | ConfigError]) -> Iterator[Config]:
    """Yield what could be read of environments that cannot be loaded."""
    for result in results.values():
        if isinstance(result, InvalidConfigError) and result.partial is not None:
            yield result.partial


def _files(configs: Iterable[Config], run: _Run) -> Iterator[Finding]:
    """Yield what is wrong with the files that connections need."""
    wants = run.selection.wants
    if not run.selection.files:
        if any(map(wants, FILE_RULES)):
            run.skip("the files that connections need (--skip-files)")
        return
    for config in configs:
        found: dict[tuple[object, ...], Finding] = {}
        for name in config.connections:
            for finding in file_problems(config.connection(name), config.project):
                if wants(finding.rule):
                    found.setdefault((finding.origin, finding.rule), finding)
        yield from (replace(finding, environment=config.environment) for finding in found.values())


def _unread(
    project: Path, results: Mapping[str, object], selection: Selection
) -> Iterator[Finding]:
    """Yield the files that are passed over. Who names environments has not asked for all files."""
    if selection.complete and selection.wants("unread-file"):
        for finding in unread.find(project):
            yield replace(finding, environment=_owner(finding, results))


def _broken(
    results: Mapping[str, Config | ConfigError],
) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    for name, result in results.items():
        if isinstance(result, InvalidConfigError):
            yield name, tuple(replace(finding, environment=name) for finding in result.findings)
        elif isinstance(result, ConfigError) and not isinstance(result, EnvironmentNotFoundError):
            raise result


def _sources(
    run: _Run, sources: excerpts.Sources, results: Mapping[str, Config | ConfigError]
) -> list[str]:
    """Return the files whose comments count: all, or those that have findings."""
    if run.selection.complete:
        return sources.all()
    own = {finding.origin.source for finding in run.findings if finding.origin.line}
    return sorted(own | {sources.of(name) for name in results})


def _owner(finding: Finding, results: Mapping[str, object]) -> str:
    """Return the environment whose own file the finding is in; one for what they share. Without
    environments it is the one that the file would be of.
    """
    name = Path(finding.origin.source).stem.partition(".")[0]
    return name if name in results else next(iter(results), name)


def _finding(rule: Rule, found: Found) -> Finding:
    return Finding(
        rule.id,
        found.message,
        found.origin,
        found.severity or rule.severity,
        found.environment,
        found.key,
        found.hint,
    )
