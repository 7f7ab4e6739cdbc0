<?php
// Shared by the comparisons: seed, cases, the C driver, totals.
// Environment: COMPARE_FORMATS (the driver), COMPARE_CASES, COMPARE_SEED.

error_reporting(E_ALL & ~E_DEPRECATED);

$cases = (int)(getenv('COMPARE_CASES') ?: 10000);
$seed = (int)(getenv('COMPARE_SEED') ?: random_int(1, PHP_INT_MAX >> 32));
mt_srand($seed);

// All answers of the driver to these lines, in order.
function ask(string $format, array $lines): array
{
	$driver = getenv('COMPARE_FORMATS') ?: 'build/release/compare_formats';
	$in = tempnam(sys_get_temp_dir(), 'compare');
	$out = tempnam(sys_get_temp_dir(), 'compare');
	file_put_contents($in, implode("\n", $lines) . "\n");
	exec(implode(' ', array_map('escapeshellarg', [$driver, $format])) .
	    ' <' . escapeshellarg($in) . ' >' . escapeshellarg($out), $_, $status);
	$answers = file($out, FILE_IGNORE_NEW_LINES);
	unlink($in);
	unlink($out);
	if ($status !== 0 || count($answers) !== count($lines)) {
		fwrite(STDERR, "$driver $format: status $status, " .
		    count($answers) . ' answers to ' . count($lines) . " lines\n");
		exit(1);
	}
	return $answers;
}

$tally = [];
$mismatches = 0;

function tally(string $kind): void
{
	global $tally;
	$tally[$kind] = ($tally[$kind] ?? 0) + 1;
}

function mismatch(string $case, string $php, string $c): void
{
	global $mismatches;
	if ($mismatches++ < 10)
		fwrite(STDERR, "differs: " . addcslashes($case, "\0..\37\177..\377") .
		    "\n     PHP: $php\n       C: $c\n");
}

function finish(string $name): void
{
	global $tally, $mismatches, $seed;
	$parts = [];
	foreach ($tally as $kind => $n)
		$parts[] = "$kind $n";
	echo "$name: ", implode(', ', $parts), ", differing $mismatches",
	    " (seed $seed)\n";
	exit($mismatches ? 1 : 0);
}

function pick(array $of)
{
	return $of[mt_rand(0, count($of) - 1)];
}

// A few random edits: bytes changed, dropped, doubled, swapped, pieces moved.
function mutate(string $s, string $alphabet): string
{
	for ($n = mt_rand(1, 3); $n > 0 && $s !== ''; $n--) {
		$at = mt_rand(0, strlen($s) - 1);
		$byte = $alphabet[mt_rand(0, strlen($alphabet) - 1)];
		switch (mt_rand(0, 6)) {
		case 0:
			$s[$at] = $byte;
			break;
		case 1:
			$s = substr_replace($s, '', $at, mt_rand(1, 3));
			break;
		case 2:
			$s = substr_replace($s, $byte, $at, 0);
			break;
		case 3:
			$s = substr($s, 0, $at);
			break;
		case 4:
			$s .= substr($s, $at, mt_rand(1, 8));
			break;
		case 5:
			$s = substr_replace($s, (string)mt_rand(0, 12), $at, 1);
			break;
		case 6:
			if (preg_match_all('/\d+/', $s, $m, PREG_OFFSET_CAPTURE)) {
				[$digits, $where] = pick($m[0]);
				$s = substr_replace($s, pick(['0', '1', '2', "+$digits", "0$digits",
				    "-$digits", (string)((int)$digits + 1), '', '99999999999999999999']),
				    $where, strlen($digits));
			}
			break;
		}
	}
	return $s;
}
