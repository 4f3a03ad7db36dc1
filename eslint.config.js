import js from '@eslint/js'
import ts from 'typescript-eslint'

export default ts.config(
  { ignores: ['node_modules', '.tap', '.data', 'coverage', 'dist'] },
  js.configs.recommended,
  ts.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['eslint.config.js', '.dependency-cruiser.mjs'] },
      },
    },
    rules: {
      // Template literals print numbers all the time; the rule is for objects.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // Fastify plugins are async by contract, with or without an await inside.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafeCalls: ['test'] }],
      // `== null` is null or undefined, which is what SQL's NULL becomes.
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      // It does not see what a closure assigns.
      '@typescript-eslint/no-unnecessary-condition': 'off',
    },
  },
  {
    // A clock may be set at any time, and what waits until a time of it would wait for as long as it was wrong.
    files: ['src/**/*.ts'],
    // What needs the time of day.
    ignores: [
      'analytics/use/counts',
      'database/embedded/files',
      'demo/demo',
      'http/tokens',
      'jobs/clock',
      'tenant/slow',
    ].map(name => `src/${name}.ts`),
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'To measure or to wait: performance.now().' },
      ],
    },
  },
  { files: ['**/*.js'], extends: [ts.configs.disableTypeChecked] },
)
