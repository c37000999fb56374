package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"
)

// Spec says what to send. The requests are sent in turn, whichever connection is free.
type Spec struct {
	Port        int      `json:"port"`
	Head        string   `json:"head"`    // a request up to its Cookie field, line ends included
	Cookies     []string `json:"cookies"` // one request for each; an empty one sends no Cookie field
	Connections int      `json:"connections"`
	Seconds     float64  `json:"seconds"`
	Numbered    string   `json:"numbered"` // where every request has a number of its own: field, target
	WarmUp      float64  `json:"warm_up"`  // seconds before `Seconds` in which nothing is recorded
	Rate        float64  `json:"rate"`     // requests a second, open loop; 0: closed loop
	Status      int      `json:"status"`   // what every answer must be
	Block       string   `json:"block"`    // every body is this, over and over,
	BodyBytes   int      `json:"body_bytes"`
}

// Result is what happened within the recorded seconds, except Total and Errors.
type Result struct {
	Requests   int            `json:"requests"`
	Total      int            `json:"total"`   // answers altogether, warm-up included
	Elapsed    float64        `json:"elapsed"` // seconds from the first request to the last answer
	Bytes      int64          `json:"bytes"`   // of bodies
	P50        float64        `json:"p50"`     // microseconds
	P99        float64        `json:"p99"`
	P999       float64        `json:"p999"`
	Max        float64        `json:"max"`
	Reconnects int            `json:"reconnects"`
	Errors     map[string]int `json:"errors"`
	Unanswered int            `json:"unanswered"` // open loop: due, but not answered in time
}

const (
	numberField = "X-Number: "
	zeros       = "0000000000000000"
)

// request is what is sent; at `number` in it there is room for a number, if it is above zero.
type request struct {
	octets []byte
	number int
}

// numbered writes the number n into the request, if there is room for one.
func (r request) numbered(n int) []byte {
	if r.number > 0 {
		copy(r.octets[r.number:], fmt.Sprintf("%016x", n))
	}
	return r.octets
}

func readSpec() Spec {
	var spec Spec
	if err := json.NewDecoder(os.Stdin).Decode(&spec); err != nil {
		fail("the spec does not parse: " + err.Error())
	}
	if spec.Port == 0 || spec.Connections < 1 {
		fail("the spec has no port or no connections")
	}
	return spec
}

func (s Spec) requests() []request {
	cookies := s.Cookies
	if len(cookies) == 0 {
		cookies = []string{""}
	}
	made := make([]request, len(cookies))
	for i, cookie := range cookies {
		text := s.Head
		if cookie != "" {
			text += "Cookie: " + cookie + "\r\n"
		}
		at := 0
		switch s.Numbered {
		case "field":
			text += numberField
			at = len(text)
			text += zeros + "\r\n"
		case "target":
			line, rest, _ := strings.Cut(text, " HTTP/1.1")
			at = len(line) + len("/")
			text = line + "/" + zeros + " HTTP/1.1" + rest
		}
		made[i] = request{[]byte(text + "\r\n"), at}
	}
	return made
}

// summarize fills in the percentiles: the smallest latency that at least that share does not exceed.
func (r *Result) summarize(latencies []time.Duration) {
	if len(latencies) == 0 {
		return
	}
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	at := func(perMille int) float64 {
		index := (len(latencies)*perMille+999)/1000 - 1
		return float64(latencies[max(index, 0)].Nanoseconds()) / 1000
	}
	r.P50, r.P99, r.P999, r.Max = at(500), at(990), at(999), at(1000)
}
