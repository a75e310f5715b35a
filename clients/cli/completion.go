package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd prints a completion script.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says where the scripts go.
func (*completionCmd) Help() string {
	return `bash: source <(lockctl completion bash)` + "\n\n" + `zsh: lockctl completion zsh > "${fpath[1]}/_lockctl"` + "\n\n" +
		`fish: lockctl completion fish > ~/.config/fish/completions/lockctl.fish`
}

// Run prints the script, made of the command line's own declaration.
func (c *completionCmd) Run(a *app) error {
	script := map[string]func(*strings.Builder, *kong.Application){"bash": bashScript, "zsh": zshScript, "fish": fishScript}
	var b strings.Builder
	script[c.Shell](&b, a.model)
	_, err := io.WriteString(a.out, b.String())
	return err
}

// flagsOf are a node's own flags, by name.
func flagsOf(n *kong.Node) []*kong.Flag {
	flags := slices.DeleteFunc(slices.Clone(n.Flags), func(f *kong.Flag) bool { return f.Hidden })
	slices.SortFunc(flags, func(a, b *kong.Flag) int { return cmp.Compare(a.Name, b.Name) })
	return flags
}

// words are the flags as one types them.
func words(flags []*kong.Flag) string {
	var list []string
	for _, f := range flags {
		list = append(list, "--"+f.Name)
		if f.Short != 0 {
			list = append(list, "-"+string(f.Short))
		}
	}
	return strings.Join(list, " ")
}

// valued are the flags that want a value, whose next word no list completes.
func valued(m *kong.Application) string {
	var list []string
	for _, n := range append([]*kong.Node{m.Node}, m.Children...) {
		for _, f := range flagsOf(n) {
			if f.IsBool() {
				continue
			}
			list = append(list, "--"+f.Name)
			if f.Short != 0 {
				list = append(list, "-"+string(f.Short))
			}
		}
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), "|")
}

func commands(m *kong.Application) string {
	var list []string
	for _, n := range m.Children {
		list = append(list, n.Name)
	}
	return strings.Join(list, " ")
}

func bashScript(w *strings.Builder, m *kong.Application) {
	fmt.Fprintf(w, `# bash completion of lockctl: source <(lockctl completion bash)
_lockctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} cmd= words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --) COMPREPLY=($(compgen -c -f -- "$cur")); return ;;
      %s) ((i++)) ;;
      -*) ;;
      *) [[ $cmd ]] || cmd=${COMP_WORDS[i]} ;;
    esac
  done
  case ${COMP_WORDS[COMP_CWORD-1]} in
    --token-file) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    %s) return ;;
  esac
  case $cmd in
    '') words='%s' ;;
`, valued(m), valued(m), commands(m))
	for _, n := range m.Children {
		own := words(flagsOf(n))
		if n.Name == "completion" {
			own = "bash zsh fish"
		}
		fmt.Fprintf(w, "    %s) words='%s' ;;\n", n.Name, own)
	}
	fmt.Fprintf(w, `  esac
  COMPREPLY=($(compgen -W "$words %s" -- "$cur"))
}
complete -F _lockctl lockctl
`, words(flagsOf(m.Node)))
}

// quoted is a help text in single quotes, for zsh without what _arguments takes for its own.
func quoted(s string) string {
	s = strings.NewReplacer("'", "", "[", "(", "]", ")", ":", ",", "\\", "").Replace(s)
	return s
}

func zshFlags(w *strings.Builder, flags []*kong.Flag) {
	for _, f := range flags {
		help, value := quoted(f.Help), ""
		if !f.IsBool() {
			value = ":" + strings.ToLower(cmp.Or(f.PlaceHolder, f.Name)) + ":"
			if f.Name == "token-file" {
				value += "_files"
			}
		}
		eq := ""
		if value != "" {
			eq = "="
		}
		fmt.Fprintf(w, "    '--%s%s[%s]%s' \\\n", f.Name, eq, help, value)
		if f.Short != 0 {
			fmt.Fprintf(w, "    '-%c[%s]%s' \\\n", f.Short, help, value)
		}
	}
}

func zshScript(w *strings.Builder, m *kong.Application) {
	fmt.Fprint(w, "#compdef lockctl\n# zsh completion of lockctl: lockctl completion zsh > \"${fpath[1]}/_lockctl\"\n_lockctl() {\n"+
		"  local curcontext=$curcontext state line\n  typeset -A opt_args\n  _arguments -C \\\n")
	zshFlags(w, flagsOf(m.Node))
	fmt.Fprint(w, "    '1:command:->command' \\\n    '*::argument:->argument'\n  case $state in\n  command)\n    local -a list=(\n")
	for _, n := range m.Children {
		fmt.Fprintf(w, "      '%s:%s'\n", n.Name, quoted(n.Help))
	}
	fmt.Fprint(w, "    )\n    _describe command list ;;\n  argument)\n    case $line[1] in\n")
	for _, n := range m.Children {
		fmt.Fprintf(w, "    %s) _arguments \\\n", n.Name)
		zshFlags(w, flagsOf(n))
		zshFlags(w, flagsOf(m.Node))
		switch n.Name {
		case "run":
			fmt.Fprint(w, "      '1:lock:' '*::command:_normal' ;;\n")
		case "completion":
			fmt.Fprint(w, "      '1:shell:(bash zsh fish)' ;;\n")
		default:
			fmt.Fprint(w, "      '*:lock:' ;;\n")
		}
	}
	fmt.Fprint(w, "    esac ;;\n  esac\n}\n_lockctl \"$@\"\n")
}

func fishFlags(w *strings.Builder, when string, flags []*kong.Flag) {
	for _, f := range flags {
		fmt.Fprintf(w, "complete -c lockctl%s -l %s", when, f.Name)
		if f.Short != 0 {
			fmt.Fprintf(w, " -s %c", f.Short)
		}
		switch {
		case f.Name == "token-file":
			fmt.Fprint(w, " -r -F")
		case !f.IsBool():
			fmt.Fprint(w, " -x")
		}
		fmt.Fprintf(w, " -d '%s'\n", quoted(f.Help))
	}
}

func fishScript(w *strings.Builder, m *kong.Application) {
	fmt.Fprintln(w, "# fish completion of lockctl: lockctl completion fish > ~/.config/fish/completions/lockctl.fish")
	fmt.Fprintln(w, "complete -c lockctl -f")
	fishFlags(w, "", flagsOf(m.Node))
	for _, n := range m.Children {
		fmt.Fprintf(w, "complete -c lockctl -n __fish_use_subcommand -a %s -d '%s'\n", n.Name, quoted(n.Help))
	}
	for _, n := range m.Children {
		fishFlags(w, fmt.Sprintf(" -n '__fish_seen_subcommand_from %s'", n.Name), flagsOf(n))
	}
	fmt.Fprintln(w, "complete -c lockctl -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'")
	fmt.Fprintln(w, "complete -c lockctl -n '__fish_seen_subcommand_from run; and contains -- -- (commandline -opc)' -a '(__fish_complete_subcommand --fcs-skip=3)'")
}
