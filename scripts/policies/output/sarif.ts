// The report in SARIF 2.1.0, which code scanners and editors read.
import type { Class, Finding } from '../../../src/policies/finding.ts'
import { version } from '../../../src/version.ts'
import type { Compared } from '../audit-policies.ts'

const levels: Record<Class, string> = {
  dangerous: 'error',
  'to be reviewed': 'warning',
  breaking: 'warning',
  safe: 'note',
}
/** What each part is, in the repository. */
const sources = {
  drift: 'db/policies/committed.txt',
  rules: 'src/policies/rules/rules.ts',
  proof: 'src/policies/proof.ts',
  migration: 'db/migrations',
}

const ruleOf = ({ id, part }: Finding) => (part === 'rules' ? `rules/${id.split(':')[1] ?? ''}` : part)

/** A log with one run. */
export function sarif(report: Compared) {
  const all = [...report.findings, ...report.excepted]
  const rules = [...new Set(all.map(ruleOf))].sort()
  const result = (finding: Finding, reason?: string) => ({
    ruleId: ruleOf(finding),
    level: levels[finding.class],
    message: { text: [finding.says, ...(finding.why ?? []).slice(0, 10)].join('\n') },
    locations: [
      {
        physicalLocation: { artifactLocation: { uri: sources[finding.part] }, region: { startLine: 1 } },
        logicalLocations: [{ fullyQualifiedName: finding.subject, kind: 'object' }],
      },
    ],
    partialFingerprints: { 'callboardFinding/v1': finding.id },
    ...(reason !== undefined && { suppressions: [{ kind: 'external', justification: reason }] }),
  })
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'callboard audit:policies',
            version,
            rules: rules.map(id => ({ id, shortDescription: { text: id } })),
          },
        },
        invocations: [
          {
            executionSuccessful: report.blind.length === 0,
            endTimeUtc: report.at,
            toolExecutionNotifications: report.blind.map(reason => ({
              level: 'error',
              message: { text: reason },
            })),
          },
        ],
        results: [
          ...report.findings.map(finding => result(finding)),
          ...report.excepted.map(({ reason, ...finding }) => result(finding, reason)),
        ],
      },
    ],
  }
}
