"""The scores of your own network: any `torch.nn.Module`.

| module | what it holds |
|---|---|
| `score` | `score_module` |
| `reading` | the second pass: the statistics of what counts |
| `trace` | the first pass: what is executed, what is alive, where the images are |
| `watch` | sees each activation that a module executes |
| `operations` | which operations are activations |
| `counting` | how often each tensor counts, by the published code and by the paper |
| `activations` | the table of what was executed |
| `layout` | where the images are in a tensor |
| `finiteness` | the first layer whose values are not finite |
| `isolation` | leaves the module and the process as they were |
| `target` | a module that the command line names |
"""
