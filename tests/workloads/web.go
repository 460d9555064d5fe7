// SPDX-License-Identifier: Apache-2.0

// A web server that works and waits: web PORT. Deep calls, closures, sorting by callback, panics that
// are recovered, garbage, files (system calls on threads of the runtime's own), timers.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"
)

type node struct {
	left, right *node
	value       int
}

//go:noinline
func grow(depth int) *node {
	if depth == 0 {
		return &node{value: 1}
	}
	return &node{left: grow(depth - 1), right: grow(depth - 1), value: depth}
}

//go:noinline
func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.left.sum() + n.right.sum() + n.value
}

//go:noinline
func fails(n int) int {
	if n == 0 {
		panic("known")
	}
	return fails(n-1) + 1
}

func recovers(n int) (said any) {
	defer func() { said = recover() }()
	return fails(n)
}

func work(w http.ResponseWriter, r *http.Request) {
	words := strings.Fields(strings.Repeat("one two three four five ", 40))
	sort.Slice(words, func(i, j int) bool { return words[i] < words[j] })
	sum := sha256.Sum256([]byte(strings.Join(words, "")))
	maps, _ := os.ReadFile("/proc/self/stat")
	answer, _ := json.Marshal(map[string]any{
		"words": words[:3], "sum": fmt.Sprintf("%x", sum), "tree": grow(8).sum(),
		"said": recovers(10), "n": len(maps),
	})
	w.Write(answer)
}

func main() {
	go func() {
		for {
			time.Sleep(5 * time.Millisecond)
			recovers(20)
		}
	}()
	http.HandleFunc("/", work)
	fmt.Println("ready")
	fmt.Println(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
