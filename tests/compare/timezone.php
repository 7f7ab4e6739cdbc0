<?php
// formats/timezone against PHP: the seconds around every change of a zone from
// 1850 to 2200, and random moments between. Zones as arguments; without any,
// the five that cover the kinds: northern and southern summer time, half an
// hour of it, none at all, and one that was given up.
// COMPARE_FORMATS is the driver, COMPARE_CASES the random moments in all.

require __DIR__ . '/common.php';

const FIRST = -3786825600; // 1850
const LAST = 7258118400;   // 2200

$zones = array_slice($argv, 1) ?: ['Europe/Berlin', 'America/New_York',
	'Australia/Lord_Howe', 'Asia/Kolkata', 'America/Sao_Paulo'];
if ($zones === ['all']) {
	$zones = DateTimeZone::listIdentifiers();
}

$tally = ['zones' => count($zones), 'changes' => 0, 'moments' => 0];
foreach ($zones as $name) {
	$lines = [];
	$expected = [];
	$zone = new DateTimeZone($name);
	$moments = [FIRST, LAST];
	// The first is no change but the state at FIRST. PHP before 8.2 lists
	// no change past the table: years after it are probed every half hour.
	$known = array_slice($zone->getTransitions(FIRST, LAST), 1);
	foreach ($known as $t) {
		array_push($moments, $t['ts'] - 1, $t['ts'], $t['ts'] + 1);
	}
	$tally['changes'] += count($known);
	foreach ([2038, 2050, 2099, 2100, 2199] as $year) {
		$begin = gmmktime(0, 0, 0, 1, 1, $year);
		for ($t = $begin; $t < $begin + 366 * 86400; $t += 1800) {
			array_push($moments, $t - 1, $t);
		}
	}
	for ($i = 0; $i < $cases / count($zones); $i++) {
		$moments[] = mt_rand(FIRST >> 2, LAST >> 2) * 4 + mt_rand(0, 3);
	}
	foreach ($moments as $t) {
		$lines[] = "$name $t";
		$expected[] = (string)$zone->getOffset(new DateTime("@$t"));
	}
	$tally['moments'] += count($lines);
	foreach (ask('', $lines) as $i => $answer) {
		if ($answer !== $expected[$i]) {
			mismatch($lines[$i], $expected[$i], $answer);
		}
	}
}
finish('timezone');
