package farm

import (
	"cmp"
	"slices"
)

// maxNear bounds the words that an error suggests.
const maxNear = 3

// near returns the words that a mistyped one may have meant, the likeliest first.
func near(word string, known []string) []string {
	far := make(map[string]int)
	var guesses []string
	for _, k := range known {
		if far[k] = distance(word, k); far[k] <= max(1, min(len(word), len(k))/3) {
			guesses = append(guesses, k)
		}
	}
	slices.SortFunc(guesses, func(a, b string) int { return cmp.Or(cmp.Compare(far[a], far[b]), cmp.Compare(a, b)) })
	return guesses[:min(len(guesses), maxNear)]
}

// distance counts the insertions, deletions and changes of one octet between two words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
