// Command lockctl takes, watches and breaks the locks of a distributed lock service, and runs commands under them.
package main

import "os"

func main() {
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}
