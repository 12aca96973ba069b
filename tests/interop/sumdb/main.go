// Checks heads and proofs with the code that verifies Go's checksum database.
// Reads one JSON document, writes one line for each check: "ok", or what is wrong.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Check   string
	Key     string   // verifier key, of a head
	Note    string   // of a head
	Proof   []string // base64, of inclusion and consistency
	Size    int64
	Root    string
	Index   int64
	Leaf    string
	OldSize int64
	OldRoot string
}

func hash(text string) tlog.Hash {
	h, err := tlog.ParseHash(text)
	if err != nil {
		panic(err)
	}
	return h
}

func hashes(texts []string) []tlog.Hash {
	var list []tlog.Hash
	for _, text := range texts {
		list = append(list, hash(text))
	}
	return list
}

// head opens a signed note and reads the three lines that a checkpoint of ours shares with a tree of the database.
func head(r request) error {
	verifier, err := note.NewVerifier(r.Key)
	if err != nil {
		return err
	}
	opened, err := note.Open([]byte(r.Note), note.VerifierList(verifier))
	if err != nil {
		return err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return fmt.Errorf("not three lines that begin with the key's name")
	}
	if lines[1] != fmt.Sprint(r.Size) || hash(lines[2]) != hash(r.Root) {
		return fmt.Errorf("another size or root")
	}
	return nil
}

func check(r request) error {
	switch r.Check {
	case "head":
		return head(r)
	case "inclusion":
		return tlog.CheckRecord(hashes(r.Proof), r.Size, hash(r.Root), r.Index, hash(r.Leaf))
	case "consistency":
		return tlog.CheckTree(hashes(r.Proof), r.Size, hash(r.Root), r.OldSize, hash(r.OldRoot))
	}
	return fmt.Errorf("no check named %q", r.Check)
}

func main() {
	var requests []request
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		panic(err)
	}
	for _, r := range requests {
		if err := check(r); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("ok")
		}
	}
}
